/** The changed lines of one file. */
import { memo, useMemo, useState } from 'react';
import { ScrollView, StyleSheet, Text, View } from 'react-native';

import { type Line, linesOf } from '../diff';
import { mono, type Theme, useTheme } from '../theme';
import { TextButton } from '../ui';

const MOST = 300; // lines until one asks for the rest

type Props = { path: string; patch: string; wrap: boolean };

export const Patch = memo(function Patch({ path, patch, wrap }: Props) {
  const theme = useTheme();
  const [all, setAll] = useState(false);
  const lines = useMemo(() => linesOf(patch), [patch]);
  const shown = all ? lines : lines.slice(0, MOST);
  const body = (
    <View style={wrap ? null : styles.wide}>
      {shown.map((line, index) => (
        <LineRow key={index} line={line} theme={theme} />
      ))}
    </View>
  );
  return (
    <View style={styles.patch}>
      {wrap ? (
        body
      ) : (
        <ScrollView
          horizontal
          tabIndex={0}
          role="region"
          aria-label={`Changes of ${path}`}
          contentContainerStyle={styles.scrolled}
        >
          {body}
        </ScrollView>
      )}
      {shown.length < lines.length ? (
        <TextButton label={`Show all ${lines.length} lines`} onPress={() => setAll(true)} />
      ) : null}
    </View>
  );
});

const SIGN = { added: '+', deleted: '−', same: ' ', hunk: '', note: '' } as const;

function LineRow({ line, theme }: { line: Line; theme: Theme }) {
  const ground = {
    added: theme.added,
    deleted: theme.deleted,
    hunk: theme.hunk,
    same: 'transparent',
    note: 'transparent',
  }[line.kind];
  const quiet = line.kind === 'hunk' || line.kind === 'note';
  return (
    <View style={[styles.line, { backgroundColor: ground }]}>
      <Text aria-hidden style={[styles.number, { color: theme.muted }]}>
        {line.number ?? ''}
      </Text>
      <Text selectable style={[styles.text, { color: quiet ? theme.muted : theme.text }]}>
        {SIGN[line.kind]}
        {line.text}
      </Text>
    </View>
  );
}

const styles = StyleSheet.create({
  patch: { marginHorizontal: -12, paddingBottom: 4 },
  scrolled: { minWidth: '100%' },
  wide: { minWidth: '100%' },
  line: { flexDirection: 'row' },
  number: {
    fontFamily: mono,
    fontSize: 12,
    lineHeight: 20,
    paddingRight: 8,
    textAlign: 'right',
    userSelect: 'none',
    width: 48,
  },
  text: { flexShrink: 1, fontFamily: mono, fontSize: 13, lineHeight: 20, paddingRight: 12 },
});
