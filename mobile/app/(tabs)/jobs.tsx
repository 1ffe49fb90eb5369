/** All jobs, wherever they were started. */
import { useRouter } from 'expo-router';
import { useEffect, useState } from 'react';
import { FlatList, Pressable, RefreshControl, StyleSheet, View } from 'react-native';

import type { Repository, Status } from '@/api/client';
import { Picker } from '@/Picker';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import * as storage from '@/storage';
import { page, space, target, useTheme } from '@/theme';
import { Badge, Problem, Words } from '@/ui';
import { useAwake } from '@/useAwake';
import { ago, dollars, SHORT, TONE, unquoted } from '@/words';

const LOOK_EVERY = 5_000; // milliseconds

export default function Screen() {
  const { api, ready } = useSession();
  if (!ready) return null;
  if (!api) return <SignIn />;
  return <Jobs />;
}

function Jobs() {
  const { api, explain } = useSession();
  const awake = useAwake();
  const [repository, setRepository] = useState<string | null>(null);
  const name = nameOf(repository);
  const [jobs, setJobs] = useState<Status[] | null>(() => kept(name));
  const [problem, setProblem] = useState('');
  const [pulled, setPulled] = useState(false);
  const [pulls, setPulls] = useState(0);

  useEffect(() => {
    if (!api || !awake) return;
    let wanted = true;
    const look = () =>
      api
        .jobs(repository)
        .then(
          (found) => {
            if (!wanted) return;
            setJobs(found);
            setProblem('');
            storage.write(name, JSON.stringify(found));
          },
          (error: unknown) => wanted && setProblem(explain(error)),
        )
        .finally(() => setPulled(false));
    void look();
    const timer = setInterval(() => void look(), LOOK_EVERY);
    return () => {
      wanted = false;
      clearInterval(timer);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `explain` only sets state
  }, [api, awake, repository, name, pulls]);

  function show(whose: string | null) {
    setRepository(whose);
    setJobs(kept(nameOf(whose)));
  }

  return (
    <FlatList
      role="main"
      data={jobs ?? []}
      keyExtractor={(job) => job.job_id}
      contentContainerStyle={styles.page}
      refreshControl={
        <RefreshControl
          refreshing={pulled}
          onRefresh={() => {
            setPulled(true);
            setPulls(pulls + 1);
          }}
        />
      }
      ListHeaderComponent={
        <View style={styles.head}>
          <Picker<Repository>
            label="Show"
            title="Whose jobs?"
            value={repository ?? 'My jobs'}
            search={(query) => (api ? api.repositories(query) : Promise.resolve([]))}
            nameOf={(found) => found.full_name}
            render={(found) => <Words>{`Everybody’s in ${found.full_name}`}</Words>}
            onChoose={(found) => show(found.full_name)}
            none={{ label: 'My jobs', onChoose: () => show(null) }}
          />
          {problem ? (
            <Problem>{jobs ? `${problem} This is what was known.` : problem}</Problem>
          ) : null}
        </View>
      }
      ListEmptyComponent={
        jobs ? <Words tone="muted">No job yet. Write a wish, or comment on an issue.</Words> : null
      }
      renderItem={({ item }) => <JobRow job={item} />}
    />
  );
}

function JobRow({ job }: { job: Status }) {
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

const nameOf = (repository: string | null): string => `jobs:${repository ?? ''}`;

function kept(name: string): Status[] | null {
  const text = storage.read(name);
  return text ? (JSON.parse(text) as Status[]) : null;
}

const styles = StyleSheet.create({
  page: {
    alignSelf: 'center',
    gap: 12,
    maxWidth: page,
    padding: space.medium,
    width: '100%',
  },
  head: { gap: space.small },
  job: { borderRadius: 12, borderWidth: 1, gap: 6, minHeight: target, padding: space.medium },
  line: { flexDirection: 'row', justifyContent: 'space-between' },
});
