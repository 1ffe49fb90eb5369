/** Until sign-in with GitHub is there: the person pastes a user token of the App. */
import { useState } from 'react';
import { Platform } from 'react-native';

import { type SignedIn } from './session';
import { Button, Card, Field, Heading, Problem, Words } from './ui';

export function SignIn({ onSignIn }: { onSignIn: (who: SignedIn) => void }) {
  const [server, setServer] = useState('');
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState('');
  const inBrowser = Platform.OS === 'web'; // there the page comes from the service itself

  function handleSignIn() {
    const address = server.trim().replace(/\/+$/, '');
    if (!inBrowser && !/^https?:\/\/\S+$/.test(address)) {
      setProblem('Type the address of your service, such as https://vibecoder.example.');
    } else if (!token.trim()) {
      setProblem('Paste your token first.');
    } else {
      onSignIn({ server: inBrowser ? '' : address, token: token.trim() });
    }
  }

  return (
    <Card>
      <Heading>Sign in</Heading>
      <Words tone="muted">
        Paste a GitHub user token of this App. It acts with your own rights and is kept only on this
        device.
      </Words>
      {inBrowser ? null : (
        <Field
          label="Address of your service"
          placeholder="https://vibecoder.example"
          inputMode="url"
          value={server}
          onChangeText={setServer}
        />
      )}
      <Field
        label="GitHub user token"
        placeholder="ghu_…"
        secureTextEntry
        autoComplete="off"
        value={token}
        onChangeText={setToken}
        onSubmitEditing={handleSignIn}
      />
      {problem ? <Problem>{problem}</Problem> : null}
      <Button label="Sign in" onPress={handleSignIn} />
    </Card>
  );
}
