/** Nobody is signed in: the way to GitHub and back to the same place. */
import { useState } from 'react';
import { ScrollView, StyleSheet, View } from 'react-native';

import { sentenceOf } from './api/errors';
import { useSession } from './session';
import { asksForServer } from './signIn';
import * as storage from './storage';
import { page, space, useTheme } from './theme';
import { Button, Field, Heading, Problem, Words } from './ui';

export function SignIn() {
  const { signIn } = useSession();
  const theme = useTheme();
  const [server, setServer] = useState(() => storage.read('server') ?? '');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');

  async function handleSignIn() {
    const address = server.trim().replace(/\/+$/, '');
    if (asksForServer && !/^https?:\/\/[^\s/]+$/.test(address)) {
      setProblem('Type the address of your service, such as https://vibecoder.example.');
      return;
    }
    setBusy(true);
    setProblem('');
    try {
      if (asksForServer) storage.write('server', address);
      await signIn(address);
    } catch (error) {
      setProblem(sentenceOf(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <ScrollView
      style={{ backgroundColor: theme.background }}
      contentContainerStyle={styles.page}
      keyboardShouldPersistTaps="handled"
    >
      <View role="main" style={styles.column}>
        <Heading level={1}>A wish becomes a pull request</Heading>
        <Words tone="muted">
          Write what to build, accept the plan, and watch each step become a commit. You see the
          repositories that both you and the app may see.
        </Words>
        {asksForServer ? (
          <Field
            label="Address of your service"
            placeholder="https://vibecoder.example"
            inputMode="url"
            value={server}
            onChangeText={setServer}
            onSubmitEditing={handleSignIn}
          />
        ) : null}
        {problem ? <Problem>{problem}</Problem> : null}
        <View style={styles.row}>
          <Button label="Sign in with GitHub" busy={busy} onPress={handleSignIn} />
        </View>
      </View>
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  page: { alignItems: 'center', flexGrow: 1, justifyContent: 'center', padding: space.large },
  column: { gap: space.large, maxWidth: page, width: '100%' },
  row: { flexDirection: 'row' },
});
