/** The one place to write: a wish, a change to the plan, words for the agent, a follow-up. */
import { Platform, Pressable, StyleSheet, Text, TextInput, View } from 'react-native';

import { input, space, target, useTheme } from './theme';

type Props = {
  /** What it is for just now; also its name for those who can't see it. */
  label: string;
  placeholder: string;
  /** What the button does. */
  action: string;
  text: string;
  onChange: (text: string) => void;
  onSend: () => void;
  busy: boolean;
  /** May be sent without a word. */
  optional?: boolean;
  /** Ends what is under way; null where nothing is. */
  onStop?: (() => void) | null;
  stopping?: boolean;
};

export function Composer({
  label,
  placeholder,
  action,
  text,
  onChange,
  onSend,
  busy,
  optional = false,
  onStop = null,
  stopping = false,
}: Props) {
  const theme = useTheme();
  const off = busy || (!optional && !text.trim());
  return (
    <View style={styles.row}>
      {onStop ? (
        <Pressable
          role="button"
          aria-label="Stop"
          aria-busy={stopping}
          aria-disabled={stopping}
          disabled={stopping}
          onPress={onStop}
          style={({ pressed }) => [
            styles.round,
            styles.framed,
            { borderColor: theme.edge, opacity: pressed || stopping ? 0.6 : 1 },
          ]}
        >
          <View style={[styles.square, { backgroundColor: theme.bad }]} />
        </Pressable>
      ) : null}
      <TextInput
        aria-label={label}
        multiline
        placeholder={placeholder}
        placeholderTextColor={theme.muted}
        value={text}
        onChangeText={onChange}
        onKeyPress={({ nativeEvent }) => {
          // A browser's event says more than React Native's type.
          const { key, ctrlKey, metaKey } = nativeEvent as unknown as KeyboardEvent;
          if (key === 'Enter' && (ctrlKey || metaKey) && !off) onSend();
        }}
        style={[
          styles.input,
          GROWS,
          { backgroundColor: theme.background, borderColor: theme.edge, color: theme.text },
        ]}
      />
      <Pressable
        role="button"
        aria-label={action}
        aria-busy={busy}
        aria-disabled={off}
        disabled={off}
        onPress={onSend}
        style={({ pressed }) => [
          styles.round,
          {
            backgroundColor: off ? theme.sunken : theme.accent,
            opacity: pressed ? 0.6 : 1,
          },
        ]}
      >
        <Text aria-hidden style={[styles.arrow, { color: off ? theme.muted : theme.onAccent }]}>
          ↑
        </Text>
      </Pressable>
    </View>
  );
}

// Native inputs grow by themselves; browsers are told to.
const GROWS = Platform.OS === 'web' ? ({ fieldSizing: 'content' } as object) : null;

const styles = StyleSheet.create({
  row: { alignItems: 'flex-end', flexDirection: 'row', gap: space.small },
  input: {
    borderRadius: 24,
    borderWidth: 1,
    flex: 1,
    fontSize: input,
    lineHeight: 22,
    maxHeight: 180,
    minHeight: target,
    paddingHorizontal: space.medium,
    paddingVertical: 12,
    textAlignVertical: 'top',
  },
  framed: { borderWidth: 1 },
  square: { borderRadius: 3, height: 16, width: 16 },
  round: {
    alignItems: 'center',
    borderRadius: target / 2,
    height: target,
    justifyContent: 'center',
    width: target,
  },
  arrow: { fontSize: 22, fontWeight: '700' },
});
