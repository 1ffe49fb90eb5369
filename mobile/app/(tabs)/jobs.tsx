/** All jobs, wherever they were started. */
import { useState } from 'react';
import { FlatList, RefreshControl, StyleSheet, View } from 'react-native';

import type { Repository } from '@/api/client';
import { JobRow } from '@/JobRow';
import { Picker } from '@/Picker';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { column, space } from '@/theme';
import { Problem, Words } from '@/ui';
import { useJobs } from '@/useJobs';

export default function Screen() {
  const { api, ready } = useSession();
  if (!ready) return null;
  if (!api) return <SignIn />;
  return <Jobs search={(query) => api.repositories(query)} />;
}

function Jobs({ search }: { search: (query: string) => Promise<Repository[]> }) {
  const [repository, setRepository] = useState<string | null>(null);
  const { jobs, problem, look } = useJobs(repository);
  const [pulled, setPulled] = useState(false);

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
            void look().finally(() => setPulled(false));
          }}
        />
      }
      ListHeaderComponent={
        <View style={styles.head}>
          <Picker<Repository>
            label="Show"
            title="Whose jobs?"
            value={repository ?? 'My jobs'}
            search={search}
            nameOf={(found) => found.full_name}
            render={(found) => <Words>{`Everybody’s in ${found.full_name}`}</Words>}
            onChoose={(found) => setRepository(found.full_name)}
            none={{ label: 'My jobs', onChoose: () => setRepository(null) }}
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

const styles = StyleSheet.create({
  page: { ...column, gap: 12, padding: space.medium },
  head: { gap: space.small },
});
