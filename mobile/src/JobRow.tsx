/** One job in a list. */
import { useRouter } from 'expo-router';
import { Pressable, StyleSheet, View } from 'react-native';

import type { Status } from './api/client';
import { space, target, useTheme } from './theme';
import { Badge, Words } from './ui';
import { ago, dollars, SHORT, TONE, unquoted } from './words';

export function JobRow({ job }: { job: Status }) {
  const theme = useTheme();
  const router = useRouter();
  const title = unquoted(job.plan?.title ?? job.text);
  const queued = job.state === 'queued' && job.queued_behind > 0;
  const state = queued ? `Queued behind ${job.queued_behind}` : SHORT[job.state];
  const where = job.repository + (job.issue ? `#${job.issue}` : '');
  return (
    <Pressable
      role="link"
      aria-label={`${title}, ${state}, ${where}`}
      onPress={() => router.push({ pathname: '/job/[id]', params: { id: job.job_id } })}
      style={({ pressed }) => [
        styles.job,
        {
          backgroundColor: theme.card,
          borderColor: job.state === 'awaiting_approval' ? theme.warn : theme.border,
          opacity: pressed ? 0.6 : 1,
        },
      ]}
    >
      <View style={styles.line}>
        <Badge tone={TONE[job.state]}>{state}</Badge>
        <Words small tone="muted">
          {dollars(job.usd)}
        </Words>
      </View>
      <Words lines={2}>{title}</Words>
      <Words small tone="muted" lines={1}>
        {`${where} · ${job.asked_by} · ${ago(job.asked_at)}`}
      </Words>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  job: { borderRadius: 12, borderWidth: 1, gap: 6, minHeight: target, padding: space.medium },
  line: { flexDirection: 'row', justifyContent: 'space-between' },
});
