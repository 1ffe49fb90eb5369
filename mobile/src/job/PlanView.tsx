/** The plan as it is written, as it waits, and as it is carried out: its steps are the timeline. */
import { StyleSheet, View } from 'react-native';

import type { Plan } from '../api/client';
import { hasEnded, type View as Job } from '../fold';
import { Inline, Markdown } from '../Markdown';
import { space, useTheme } from '../theme';
import { Card, Code, CodeBlock, CopyButton, Folded, Heading, TextButton, Words } from '../ui';
import { unquoted } from '../words';
import { StepRow } from './StepRow';

/** `onQuote` puts words before the person that they may change and send. */
type Props = { view: Job; onQuote: (words: string) => void };

export function PlanView({ view, onQuote }: Props) {
  const { plan } = view;
  if (plan === null) return view.seq && !hasEnded(view.state) ? <Writing view={view} /> : null;
  const waits = view.state === 'awaiting_approval';
  const steps = (
    <View role="list" aria-label="Steps" style={styles.steps}>
      {plan.steps.map((step, index) => (
        <StepRow
          key={step.id}
          step={step}
          number={index + 1}
          view={view}
          onChange={waits ? onQuote : null}
        />
      ))}
    </View>
  );
  return (
    <Card>
      <View style={styles.head}>
        <View style={styles.title}>
          <Heading>{unquoted(plan.title)}</Heading>
        </View>
        <CopyButton text={asMarkdown(plan)} label="Copy plan" />
      </View>
      {waits ? (
        <>
          <Before plan={plan} onAnswer={onQuote} />
          {steps}
          <After plan={plan} />
        </>
      ) : (
        // It was read; what happens now comes first.
        <>
          {steps}
          <Folded aria="About this plan" title={<Words tone="muted">About this plan</Words>}>
            <View style={styles.about}>
              <Before plan={plan} onAnswer={null} />
              <After plan={plan} />
            </View>
          </Folded>
        </>
      )}
    </Card>
  );
}

type BeforeProps = { plan: Plan; onAnswer: ((words: string) => void) | null };

function Before({ plan, onAnswer }: BeforeProps) {
  return (
    <>
      <Markdown>{plan.summary}</Markdown>
      {plan.root_cause ? <Part title="Cause">{plan.root_cause}</Part> : null}
      {plan.questions.map((question) => (
        <Question key={question.text} {...question} onAnswer={onAnswer} />
      ))}
    </>
  );
}

function After({ plan }: { plan: Plan }) {
  return (
    <>
      {plan.verification.length ? (
        <View style={styles.part}>
          <Heading level={3}>Checked with</Heading>
          <CodeBlock text={plan.verification.join('\n')} label="Copy commands" />
        </View>
      ) : null}
      {plan.risks.length ? <Part title="Risks">{bullets(plan.risks)}</Part> : null}
      {plan.out_of_scope.length ? <Part title="Left out">{bullets(plan.out_of_scope)}</Part> : null}
      {plan.evidence.length ? <Part title="Seen in">{bullets(plan.evidence.map(code))}</Part> : null}
      <Code>{`Plan ${plan.digest.slice(0, 8)}`}</Code>
    </>
  );
}

/** The planner at work: its own words as they come. */
function Writing({ view }: { view: Job }) {
  return (
    <Card>
      <Heading>{view.state === 'queued' ? 'The plan comes here' : 'Planning'}</Heading>
      {view.prose ? <Markdown>{view.prose}</Markdown> : null}
      {view.note ? (
        <Words small tone="muted" lines={3}>
          {view.note}
        </Words>
      ) : null}
      {!view.prose && !view.note ? (
        <Words tone="muted">You can leave; the job goes on without you.</Words>
      ) : null}
    </Card>
  );
}

function Part({ title, children }: { title: string; children: string }) {
  return (
    <View style={styles.part}>
      <Heading level={3}>{title}</Heading>
      <Markdown>{children}</Markdown>
    </View>
  );
}

type QuestionProps = Plan['questions'][number] & { onAnswer: ((words: string) => void) | null };

function Question({ text, options, default: usual, onAnswer }: QuestionProps) {
  const theme = useTheme();
  return (
    <View style={[styles.question, { borderColor: theme.warn }]}>
      <Inline>{text}</Inline>
      {usual ? <Words small tone="muted">{`Taken as: ${usual}`}</Words> : null}
      {onAnswer ? (
        <View style={styles.options}>
          {options.map((option) => (
            <TextButton
              key={option}
              label={option}
              aria={`Answer: ${option}`}
              onPress={() => onAnswer(`${text} ${option}`)}
            />
          ))}
          {options.length ? null : <TextButton label="Answer" onPress={() => onAnswer(`${text} `)} />}
        </View>
      ) : null}
    </View>
  );
}

const bullets = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

const code = (text: string): string => `\`${text}\``;

function asMarkdown(plan: Plan): string {
  const steps = plan.steps.map(
    (step, index) => `${index + 1}. **${step.title}**\n   ${step.intent}`,
  );
  return [`# ${plan.title}`, plan.summary, plan.root_cause, steps.join('\n')]
    .filter(Boolean)
    .join('\n\n');
}

const styles = StyleSheet.create({
  head: { alignItems: 'flex-start', flexDirection: 'row' },
  title: { flex: 1, paddingTop: space.small },
  steps: { gap: space.small },
  about: { gap: space.medium },
  part: { gap: space.tiny },
  question: { borderLeftWidth: 4, gap: space.tiny, paddingLeft: 12 },
  options: { flexDirection: 'row', flexWrap: 'wrap' },
});
