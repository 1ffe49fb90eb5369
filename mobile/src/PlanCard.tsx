/** A plan, as a person reads it before accepting it. */
import { StyleSheet, View } from 'react-native';

import type { Plan } from './api/client';
import { space } from './theme';
import { Button, Card, Code, Heading, Prose, Words } from './ui';

type Props = { plan: Plan; busy: boolean; onAccept?: () => void };

export function PlanCard({ plan, busy, onAccept }: Props) {
  return (
    <Card>
      <Heading>{plan.title}</Heading>
      <Prose>{plan.summary}</Prose>
      {plan.root_cause ? <Prose tone="muted">{`Cause: ${plan.root_cause}`}</Prose> : null}
      <View role="list" aria-label="Steps" style={styles.steps}>
        {plan.steps.map((step, index) => (
          <View key={step.id} role="listitem" style={styles.step}>
            <Prose>{`${index + 1}. ${step.title}`}</Prose>
            {step.intent ? <Prose tone="muted">{step.intent}</Prose> : null}
            {step.files.length ? <Code>{step.files.join('\n')}</Code> : null}
          </View>
        ))}
      </View>
      {plan.verification.length ? (
        <View style={styles.step}>
          <Words>Checked with</Words>
          <Code>{plan.verification.join('\n')}</Code>
        </View>
      ) : null}
      {plan.risks.map((risk) => (
        <Prose key={risk} tone="warn">
          {`Risk: ${risk}`}
        </Prose>
      ))}
      {plan.questions.map((question) => (
        <Prose key={question.text} tone="warn">
          {question.text + (question.default ? ` (taken as: ${question.default})` : '')}
        </Prose>
      ))}
      <Code>Plan {plan.digest.slice(0, 8)}</Code>
      {onAccept ? <Button label="Accept plan" busy={busy} onPress={onAccept} /> : null}
    </Card>
  );
}

const styles = StyleSheet.create({
  steps: { gap: space.medium },
  step: { gap: space.small / 2 },
});
