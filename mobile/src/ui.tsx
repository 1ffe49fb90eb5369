/** The few parts that screens are made of. `role` and `aria-*` serve phones, browsers and tests. */
import { type Href, Link } from 'expo-router';
import type { ReactNode } from 'react';
import {
  ActivityIndicator,
  Pressable,
  StyleSheet,
  Text,
  TextInput,
  type TextInputProps,
  View,
} from 'react-native';

import { input, space, target, type Theme, useTheme } from './theme';

export function Card({ children }: { children: ReactNode }) {
  const theme = useTheme();
  return (
    <View style={[styles.card, { backgroundColor: theme.card, borderColor: theme.border }]}>
      {children}
    </View>
  );
}

export function Heading({ children }: { children: string }) {
  const theme = useTheme();
  return (
    <Text role="heading" aria-level={2} style={[styles.heading, { color: theme.text }]}>
      {children.replaceAll('`', '')}
    </Text>
  );
}

type Tone = 'text' | 'muted' | 'good' | 'bad' | 'warn';

export function Words({ children, tone = 'text' }: { children: ReactNode; tone?: Tone }) {
  const theme = useTheme();
  return (
    <Text selectable style={[styles.words, { color: theme[tone] }]}>
      {children}
    </Text>
  );
}

/** Text in which `code` is set as code; no other Markdown is read. */
export function Prose({ children, tone = 'text' }: { children: string; tone?: Tone }) {
  return (
    <Words tone={tone}>
      {children.split(/`([^`]+)`/).map((part, index) =>
        index % 2 ? (
          <Text key={index} style={styles.inlineCode}>
            {part}
          </Text>
        ) : (
          part
        ),
      )}
    </Words>
  );
}

export function Code({ children }: { children: ReactNode }) {
  const theme = useTheme();
  return (
    <Text selectable style={[styles.code, { color: theme.muted }]}>
      {children}
    </Text>
  );
}

/** Read aloud as soon as it shows. */
export function Problem({ children }: { children: ReactNode }) {
  const theme = useTheme();
  return (
    <View role="alert" style={[styles.problem, { borderColor: theme.bad }]}>
      <Text selectable style={[styles.words, { color: theme.bad }]}>
        {children}
      </Text>
    </View>
  );
}

type ButtonProps = { label: string; onPress: () => void; busy?: boolean; quiet?: boolean };

export function Button({ label, onPress, busy = false, quiet = false }: ButtonProps) {
  const theme = useTheme();
  const colour = quiet ? theme.accent : theme.onAccent;
  return (
    <Pressable
      role="button"
      aria-label={label}
      aria-busy={busy}
      aria-disabled={busy}
      disabled={busy}
      onPress={onPress}
      style={({ pressed }) => [
        styles.button,
        quiet ? { borderColor: theme.border, borderWidth: 1 } : { backgroundColor: theme.accent },
        { opacity: pressed || busy ? 0.7 : 1 },
      ]}
    >
      {busy ? <ActivityIndicator color={colour} /> : null}
      <Text style={[styles.buttonText, { color: colour }]}>{label}</Text>
    </Pressable>
  );
}

/** Leaves the app: a new tab in browsers, the system's choice on phones. */
export function LinkButton({ label, url }: { label: string; url: string }) {
  const theme = useTheme();
  return (
    <Link
      href={url as Href}
      target="_blank"
      rel="noreferrer"
      style={[styles.link, { backgroundColor: theme.accent, color: theme.onAccent }]}
    >
      {label}
    </Link>
  );
}

type FieldProps = TextInputProps & { label: string; hint?: string };

export function Field({ label, hint, multiline, ...rest }: FieldProps) {
  const theme = useTheme();
  return (
    <View style={styles.field}>
      <Text style={[styles.label, { color: theme.text }]}>{label}</Text>
      <TextInput
        aria-label={label}
        autoCapitalize="none"
        autoCorrect={false}
        multiline={multiline}
        placeholderTextColor={theme.muted}
        style={[
          styles.input,
          multiline ? styles.tall : null,
          { color: theme.text, borderColor: theme.border, backgroundColor: theme.background },
        ]}
        {...rest}
      />
      {hint ? <Text style={[styles.hint, { color: theme.muted }]}>{hint}</Text> : null}
    </View>
  );
}

/** A word in a frame, such as the state of a job. */
export function Badge({ children, tone }: { children: string; tone: Tone }) {
  const theme: Theme = useTheme();
  return (
    <View role="status" style={[styles.badge, { borderColor: theme[tone] }]}>
      <Text style={[styles.badgeText, { color: theme[tone] }]}>{children}</Text>
    </View>
  );
}

const styles = StyleSheet.create({
  card: { borderRadius: 12, borderWidth: 1, gap: space.medium, padding: space.medium },
  heading: { fontSize: 20, fontWeight: '600' },
  words: { fontSize: 16, lineHeight: 24 },
  inlineCode: { fontFamily: 'monospace', fontSize: 14 },
  code: { fontFamily: 'monospace', fontSize: 14, lineHeight: 20 },
  problem: { borderLeftWidth: 4, paddingLeft: space.medium, paddingVertical: space.small },
  button: {
    alignItems: 'center',
    borderRadius: 10,
    flexDirection: 'row',
    gap: space.small,
    justifyContent: 'center',
    minHeight: target,
    paddingHorizontal: space.medium,
  },
  buttonText: { fontSize: 16, fontWeight: '600' },
  link: {
    borderRadius: 10,
    fontSize: 16,
    fontWeight: '600',
    lineHeight: target,
    minHeight: target,
    textAlign: 'center',
  },
  field: { gap: 6 },
  label: { fontSize: 14, fontWeight: '600' },
  hint: { fontSize: 14 },
  input: {
    borderRadius: 10,
    borderWidth: 1,
    fontSize: input,
    minHeight: target,
    paddingHorizontal: 12,
    paddingVertical: 12,
  },
  tall: { minHeight: 3 * target, textAlignVertical: 'top' },
  badge: {
    alignSelf: 'flex-start',
    borderRadius: 999,
    borderWidth: 1,
    paddingHorizontal: 12,
    paddingVertical: 4,
  },
  badgeText: { fontSize: 14, fontWeight: '600' },
});
