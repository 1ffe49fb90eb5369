/** A choice out of many: a row that opens a list to search in. */
import { type ReactNode, useEffect, useState } from 'react';
import { ActivityIndicator, FlatList, Modal, Pressable, StyleSheet, Text, View } from 'react-native';
import { SafeAreaView } from 'react-native-safe-area-context';

import { useSession } from './session';
import { column, space, target, useTheme } from './theme';
import { Field, Heading, Problem, TextButton, Words } from './ui';

const REST = 250; // milliseconds without a key until it is searched

type Props<T> = {
  label: string;
  /** What is chosen now, in words. */
  value: string;
  title: string;
  search: (query: string) => Promise<T[]>;
  nameOf: (item: T) => string;
  render: (item: T) => ReactNode;
  onChoose: (item: T) => void;
  /** A choice of nothing, and how it is called. */
  none?: { label: string; onChoose: () => void };
};

export function Picker<T>(props: Props<T>) {
  const theme = useTheme();
  const [open, setOpen] = useState(false);
  const { label, value, title } = props;
  return (
    <>
      <Pressable
        role="button"
        aria-label={`${label}: ${value}`}
        aria-haspopup="dialog"
        onPress={() => setOpen(true)}
        style={({ pressed }) => [styles.row, { opacity: pressed ? 0.6 : 1 }]}
      >
        <Text style={[styles.label, { color: theme.muted }]}>{label}</Text>
        <Text numberOfLines={1} style={[styles.value, { color: theme.text }]}>
          {value}
        </Text>
        <Text aria-hidden style={[styles.mark, { color: theme.muted }]}>
          ›
        </Text>
      </Pressable>
      <Modal
        visible={open}
        animationType="slide"
        onRequestClose={() => setOpen(false)}
        aria-label={title}
      >
        <SafeAreaView style={[styles.sheet, { backgroundColor: theme.background }]}>
          <Choices {...props} onClose={() => setOpen(false)} />
        </SafeAreaView>
      </Modal>
    </>
  );
}

function Choices<T>({
  title,
  search,
  nameOf,
  render,
  onChoose,
  none,
  onClose,
}: Props<T> & { onClose: () => void }) {
  const { explain } = useSession();
  const theme = useTheme();
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<T[] | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    let wanted = true;
    const timer = setTimeout(
      () => {
        search(query.trim()).then(
          (items) => {
            if (!wanted) return;
            setFound(items);
            setProblem('');
          },
          (error: unknown) => wanted && setProblem(explain(error)),
        );
      },
      query ? REST : 0,
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `search` is made anew each time
  }, [query]);

  return (
    <View style={styles.choices}>
      <View style={styles.head}>
        <View style={styles.title}>
          <Heading>{title}</Heading>
        </View>
        <TextButton label="Close" onPress={onClose} />
      </View>
      <Field label="Search" value={query} onChangeText={setQuery} autoFocus inputMode="search" />
      {problem ? <Problem>{problem}</Problem> : null}
      {found === null && !problem ? <ActivityIndicator aria-label="Loading" color={theme.accent} /> : null}
      <FlatList
        data={found ?? []}
        keyExtractor={nameOf}
        keyboardShouldPersistTaps="handled"
        ListHeaderComponent={
          none && !query ? (
            <Choice
              name={none.label}
              onPress={() => {
                none.onChoose();
                onClose();
              }}
            >
              <Words>{none.label}</Words>
            </Choice>
          ) : null
        }
        ListEmptyComponent={found ? <Words tone="muted">Nothing found.</Words> : null}
        renderItem={({ item }) => (
          <Choice
            name={nameOf(item)}
            onPress={() => {
              onChoose(item);
              onClose();
            }}
          >
            {render(item)}
          </Choice>
        )}
      />
    </View>
  );
}

type ChoiceProps = { name: string; onPress: () => void; children: ReactNode };

function Choice({ name, onPress, children }: ChoiceProps) {
  const theme = useTheme();
  return (
    <Pressable
      role="button"
      aria-label={name}
      onPress={onPress}
      style={({ pressed }) => [
        styles.choice,
        { borderColor: theme.border, opacity: pressed ? 0.6 : 1 },
      ]}
    >
      {children}
    </Pressable>
  );
}

const styles = StyleSheet.create({
  row: { alignItems: 'center', flexDirection: 'row', gap: space.small, minHeight: target },
  label: { fontSize: 16, width: 96 },
  value: { flex: 1, fontSize: 16, fontWeight: '600' },
  mark: { fontSize: 22 },
  sheet: { flex: 1 },
  choices: { ...column, flex: 1, gap: space.medium, padding: space.medium },
  head: { alignItems: 'center', flexDirection: 'row' },
  title: { flex: 1 },
  choice: {
    borderBottomWidth: 1,
    gap: 2,
    justifyContent: 'center',
    minHeight: target + space.small,
    paddingVertical: space.small,
  },
});
