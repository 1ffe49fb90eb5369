/** One step on the timeline: to come, at work, a commit, or passed over. */
import { type Href, Link } from 'expo-router';
import { ActivityIndicator, StyleSheet, Text, View } from 'react-native';

import type { Plan } from '../api/client';
import type { Commit, View as Job } from '../fold';
import { Inline } from '../Markdown';
import { mono, space, target, useTheme } from '../theme';
import { Code, TextButton, Words } from '../ui';

type Props = {
  step: Plan['steps'][number];
  number: number;
  view: Job;
  /** Puts the step before the person as words to change; null where it is too late for that. */
  onChange: ((words: string) => void) | null;
};

export function StepRow({ step, number, view, onChange }: Props) {
  const theme = useTheme();
  const commits = view.commits.filter((commit) => commit.number === number);
  const skipped = view.skipped[number];
  const working = view.state === 'running' && view.step === number && !commits.length && !skipped;
  const done = commits.length > 0;
  return (
    <View role="listitem" style={styles.row}>
      <View style={styles.rail}>
        {working ? (
          <ActivityIndicator aria-label="At work" size="small" color={theme.accent} />
        ) : (
          <Text
            aria-label={done ? 'Done' : skipped ? 'Without a change' : 'To come'}
            role="img"
            style={[
              styles.mark,
              {
                borderColor: done ? theme.good : theme.edge,
                color: done ? theme.good : theme.muted,
              },
            ]}
          >
            {done ? '✓' : skipped ? '–' : String(number)}
          </Text>
        )}
        <View style={[styles.line, { backgroundColor: theme.border }]} />
      </View>
      <View style={styles.body}>
        <Inline style={styles.title}>{step.title}</Inline>
        {step.intent ? <Inline style={{ color: theme.muted }}>{step.intent}</Inline> : null}
        {step.files.length && !done ? <Code>{step.files.join('\n')}</Code> : null}
        {working && view.note ? (
          <Words small tone="accent" lines={2}>
            {view.note}
          </Words>
        ) : null}
        {skipped ? <Words small tone="muted">{skipped}</Words> : null}
        {commits.map((commit) => (
          <CommitLine key={commit.sha} commit={commit} />
        ))}
        {onChange ? (
          <View style={styles.change}>
            <TextButton
              label="Change"
              aria={`Change step ${number}`}
              onPress={() => onChange(`Step ${number} should be: ${step.title}. ${step.intent}`.trim())}
            />
            <TextButton
              label="Leave out"
              aria={`Leave out step ${number}`}
              onPress={() => onChange(`Leave out step ${number} (${step.title}).`)}
            />
          </View>
        ) : null}
      </View>
    </View>
  );
}

export function CommitLine({ commit }: { commit: Commit }) {
  const theme = useTheme();
  return (
    <Link
      href={commit.url as Href}
      target="_blank"
      rel="noreferrer"
      aria-label={`Commit ${commit.sha.slice(0, 7)}: ${commit.subject}`}
      style={[styles.commit, { color: theme.accent }]}
    >
      {commit.sha.slice(0, 7)} <Text style={{ color: theme.good }}>+{commit.added}</Text>{' '}
      <Text style={{ color: theme.bad }}>−{commit.deleted}</Text>
    </Link>
  );
}

const styles = StyleSheet.create({
  row: { flexDirection: 'row', gap: 12 },
  rail: { alignItems: 'center', gap: space.tiny, paddingTop: 2, width: 28 },
  mark: {
    borderRadius: 14,
    borderWidth: 2,
    fontSize: 13,
    fontWeight: '700',
    height: 28,
    lineHeight: 24,
    textAlign: 'center',
    width: 28,
  },
  line: { flex: 1, minHeight: space.small, width: 2 },
  body: { flex: 1, gap: 2, paddingBottom: space.small },
  title: { fontWeight: '600' },
  change: { flexDirection: 'row', marginLeft: -space.small },
  commit: { fontFamily: mono, fontSize: 14, lineHeight: target, minHeight: target },
});
