/** What is wanted, and where. */
import { useState } from 'react';

import type { Wish } from './api/client';
import { Button, Card, Field, Heading, Problem } from './ui';

type Asked = Pick<Wish, 'repository' | 'text'> & Partial<Wish>;
type Props = { busy: boolean; onAsk: (wish: Asked) => void };

export function WishForm({ busy, onAsk }: Props) {
  const [repository, setRepository] = useState('');
  const [issue, setIssue] = useState('');
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');

  function handleAsk() {
    const number = issue.trim().replace(/^#/, '');
    if (!/^[^/\s]+\/[^/\s]+$/.test(repository.trim())) {
      setProblem('Name the repository as owner/name.');
    } else if (number && !/^[1-9]\d*$/.test(number)) {
      setProblem('An issue is a number, such as 7.');
    } else if (!text.trim()) {
      setProblem('Say what you want done.');
    } else {
      setProblem('');
      onAsk({
        repository: repository.trim(),
        text: text.trim(),
        ...(number ? { issue: Number(number) } : {}),
      });
    }
  }

  return (
    <Card>
      <Heading>What should be done?</Heading>
      <Field
        label="Repository"
        placeholder="owner/name"
        value={repository}
        onChangeText={setRepository}
      />
      <Field
        label="Issue"
        hint="Optional: its number"
        placeholder="7"
        inputMode="numeric"
        value={issue}
        onChangeText={setIssue}
      />
      <Field
        label="Your wish"
        placeholder="Fix the flaky retry in the client"
        multiline
        autoCorrect
        autoCapitalize="sentences"
        value={text}
        onChangeText={setText}
      />
      {problem ? <Problem>{problem}</Problem> : null}
      <Button label="Make a plan" busy={busy} onPress={handleAsk} />
    </Card>
  );
}
