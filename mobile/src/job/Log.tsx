/** All that happened, oldest first; it stays at the end while one looks at the end. */
import { memo, useRef } from 'react';
import { FlatList, StyleSheet, Text, View } from 'react-native';

import type { Entry } from '../fold';
import { Markdown } from '../Markdown';
import { column, mono, space, useTheme } from '../theme';
import { CodeBlock, Folded, Words } from '../ui';
import { CommitLine } from './StepRow';

const NEAR = 80; // points from the end that count as the end

export function Log({ entries }: { entries: readonly Entry[] }) {
  const list = useRef<FlatList<Entry>>(null);
  const atEnd = useRef(true);
  return (
    <FlatList
      ref={list}
      style={styles.all}
      contentContainerStyle={styles.page}
      data={entries}
      keyExtractor={(_, index) => String(index)}
      renderItem={({ item }) => <Row entry={item} />}
      initialNumToRender={40}
      ListEmptyComponent={<Words tone="muted">Nothing has happened yet.</Words>}
      onScroll={({ nativeEvent: { contentOffset, contentSize, layoutMeasurement } }) => {
        atEnd.current =
          contentSize.height - contentOffset.y - layoutMeasurement.height < NEAR;
      }}
      scrollEventThrottle={100}
      onContentSizeChange={() => {
        if (atEnd.current) list.current?.scrollToEnd({ animated: false });
      }}
    />
  );
}

const Row = memo(function Row({ entry }: { entry: Entry }) {
  const theme = useTheme();
  switch (entry.kind) {
    case 'said':
      return <Markdown>{entry.text}</Markdown>;
    case 'told':
      return (
        <View style={[styles.told, { backgroundColor: theme.hunk }]}>
          <Markdown>{entry.text}</Markdown>
        </View>
      );
    case 'heard':
      return (
        <View style={[styles.heard, { borderColor: theme.good }]}>
          <Markdown>{entry.text}</Markdown>
        </View>
      );
    case 'noted':
    case 'happened':
      return (
        <Words small tone="muted">
          {entry.text}
        </Words>
      );
    case 'committed':
      return (
        <View style={styles.commit}>
          <View style={styles.subject}>
            <Words>{entry.commit.subject}</Words>
          </View>
          <CommitLine commit={entry.commit} />
        </View>
      );
    case 'ran':
      return <Run entry={entry} />;
  }
});

function Run({ entry }: { entry: Extract<Entry, { kind: 'ran' }> }) {
  const theme = useTheme();
  const went = entry.exit === null ? 'ran out of time' : `exit ${entry.exit}`;
  const good = entry.exit === 0;
  return (
    <Folded
      aria={`${entry.command}, ${went}`}
      title={
        <View style={styles.run}>
          <Text numberOfLines={2} style={[styles.command, { color: theme.text }]}>
            {entry.command}
          </Text>
          <Text style={[styles.went, { color: good ? theme.good : theme.bad }]}>
            {`${went} · ${entry.seconds.toFixed(1)} s`}
          </Text>
        </View>
      }
    >
      <CodeBlock text={`$ ${entry.command}\n${entry.tail}`.trim()} label="Copy output" />
    </Folded>
  );
}

const styles = StyleSheet.create({
  all: { flex: 1 },
  page: { ...column, gap: 12, padding: space.medium },
  told: { alignSelf: 'flex-end', borderRadius: 16, maxWidth: '90%', padding: 12 },
  heard: { borderLeftWidth: 4, paddingLeft: 12 },
  commit: { alignItems: 'center', flexDirection: 'row', gap: space.small },
  subject: { flex: 1 },
  run: { flex: 1, gap: 2, paddingVertical: space.tiny },
  command: { fontFamily: mono, fontSize: 14, lineHeight: 20 },
  went: { fontFamily: mono, fontSize: 13, lineHeight: 18 },
});
