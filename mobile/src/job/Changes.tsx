/** All files that the job changed, in one place, folded. */
import { useEffect, useState } from 'react';
import { ActivityIndicator, StyleSheet, Text, View } from 'react-native';

import type { ChangedFile, Diff } from '../api/client';
import type { Commit } from '../fold';
import { useSession } from '../session';
import { mono, space, useTheme } from '../theme';
import { Card, CopyButton, Folded, Problem, TextButton, Words } from '../ui';
import { Patch } from './Patch';
import { CommitLine } from './StepRow';

const FEW = 3; // files that show unfolded

export function Changes({ id, commits }: { id: string; commits: readonly Commit[] }) {
  const { api, explain } = useSession();
  const [diff, setDiff] = useState<Diff | null>(null);
  const [problem, setProblem] = useState('');
  const [wrap, setWrap] = useState(false);
  const head = commits.at(-1)?.sha;

  useEffect(() => {
    if (!api || !head) return;
    let wanted = true;
    api.diff(id).then(
      (found) => {
        if (!wanted) return;
        setDiff(found);
        setProblem('');
      },
      (error: unknown) => wanted && setProblem(explain(error)),
    );
    return () => {
      wanted = false;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `explain` only sets state
  }, [api, id, head]);

  if (!head) return <Words tone="muted">Nothing is changed yet.</Words>;
  return (
    <>
      <Card tight>
        {commits.map((commit) => (
          <View key={commit.sha} style={styles.commit}>
            <View style={styles.subject}>
              <Words>{commit.subject}</Words>
            </View>
            <CommitLine commit={commit} />
          </View>
        ))}
      </Card>
      {problem ? <Problem>{problem}</Problem> : null}
      {!diff && !problem ? <ActivityIndicator aria-label="Loading the changes" /> : null}
      {diff ? (
        <>
          <View style={styles.bar}>
            <TextButton
              label={wrap ? 'Scroll long lines' : 'Wrap long lines'}
              onPress={() => setWrap(!wrap)}
            />
            <CopyButton text={asPatch(diff)} label="Copy all changes" shown="Copy all" />
          </View>
          {diff.files.map((file) => (
            <FileChanges
              key={file.path}
              file={file}
              wrap={wrap}
              open={diff.files.length <= FEW}
            />
          ))}
          {diff.truncated ? (
            <Words tone="warn">There is more; the pull request shows all of it.</Words>
          ) : null}
        </>
      ) : null}
    </>
  );
}

type FileProps = { file: ChangedFile; wrap: boolean; open: boolean };

function FileChanges({ file, wrap, open }: FileProps) {
  const theme = useTheme();
  const named = file.previous_path ? `${file.previous_path} → ${file.path}` : file.path;
  return (
    <View style={[styles.file, { backgroundColor: theme.card, borderColor: theme.border }]}>
      <Folded
        open={open}
        aria={`${named}, ${file.status}, ${file.added} added, ${file.deleted} deleted`}
        title={
          <View style={styles.title}>
            <Text style={[styles.path, { color: theme.text }]}>{named}</Text>
            <Text style={styles.counts}>
              {file.status === 'modified' ? null : (
                <Text style={{ color: theme.muted }}>{file.status} </Text>
              )}
              <Text style={{ color: theme.good }}>+{file.added}</Text>{' '}
              <Text style={{ color: theme.bad }}>−{file.deleted}</Text>
            </Text>
          </View>
        }
      >
        {file.patch === null ? (
          <View style={styles.none}>
            <Words small tone="muted">
              Binary, or too large to show here; the pull request has it.
            </Words>
          </View>
        ) : (
          <Patch path={file.path} patch={file.patch} wrap={wrap} />
        )}
      </Folded>
    </View>
  );
}

const asPatch = (diff: Diff): string =>
  diff.files
    .filter((file) => file.patch !== null)
    .map((file) => `--- a/${file.previous_path ?? file.path}\n+++ b/${file.path}\n${file.patch}\n`)
    .join('');

const styles = StyleSheet.create({
  commit: { alignItems: 'center', flexDirection: 'row', gap: space.small },
  subject: { flex: 1, paddingVertical: space.tiny },
  bar: { flexDirection: 'row', justifyContent: 'space-between' },
  file: { borderRadius: 12, borderWidth: 1, overflow: 'hidden', paddingHorizontal: 12 },
  title: { flex: 1, gap: 2, paddingVertical: space.small },
  path: { fontFamily: mono, fontSize: 14, lineHeight: 20 },
  counts: { fontFamily: mono, fontSize: 13, lineHeight: 18 },
  none: { paddingBottom: 12 },
});
