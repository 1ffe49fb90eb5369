/** The few parts that screens are made of. `role` and `aria-*` serve phones, browsers and tests. */
import * as Clipboard from 'expo-clipboard';
import { type Href, Link } from 'expo-router';
import { type ReactNode, useEffect, useState } from 'react';
import {
  ActivityIndicator,
  Pressable,
  ScrollView,
  StyleSheet,
  Text,
  TextInput,
  type TextInputProps,
  View,
} from 'react-native';

import { input, mono, space, target, useTheme } from './theme';
import type { Tone } from './words';

export function Card({ children, tight = false }: { children: ReactNode; tight?: boolean }) {
  const theme = useTheme();
  return (
    <View
      style={[
        styles.card,
        tight ? styles.tight : null,
        { backgroundColor: theme.card, borderColor: theme.border },
      ]}
    >
      {children}
    </View>
  );
}

export function Heading({ children, level = 2 }: { children: string; level?: 1 | 2 | 3 }) {
  const theme = useTheme();
  return (
    <Text role="heading" aria-level={level} style={[styles.heading, SIZES[level], { color: theme.text }]}>
      {children}
    </Text>
  );
}

const SIZES = { 1: { fontSize: 26 }, 2: { fontSize: 20 }, 3: { fontSize: 16 } };

type WordsProps = { children: ReactNode; tone?: Tone; small?: boolean; lines?: number };

export function Words({ children, tone = 'text', small = false, lines }: WordsProps) {
  const theme = useTheme();
  return (
    <Text
      selectable
      numberOfLines={lines}
      style={[small ? styles.small : styles.words, { color: theme[tone] }]}
    >
      {children}
    </Text>
  );
}

/** A single line of code, such as a branch. */
export function Code({ children, tone = 'muted' }: { children: ReactNode; tone?: Tone }) {
  const theme = useTheme();
  return (
    <Text selectable style={[styles.code, { color: theme[tone] }]}>
      {children}
    </Text>
  );
}

/** Code on a ground of its own, with a button that copies it. Long lines scroll. */
export function CodeBlock({ text, label = 'Copy code' }: { text: string; label?: string }) {
  const theme = useTheme();
  return (
    <View style={[styles.block, { backgroundColor: theme.sunken }]}>
      <ScrollView horizontal tabIndex={0} contentContainerStyle={styles.blockText}>
        <Text selectable style={[styles.code, { color: theme.text }]}>
          {text}
        </Text>
      </ScrollView>
      <CopyButton text={text} label={label} />
    </View>
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

type ButtonProps = {
  label: string;
  onPress: () => void;
  busy?: boolean;
  disabled?: boolean;
  kind?: 'main' | 'quiet';
};

export function Button({ label, onPress, busy = false, disabled = false, kind = 'main' }: ButtonProps) {
  const theme = useTheme();
  const colour = kind === 'main' ? theme.onAccent : theme.accent;
  const off = busy || disabled;
  return (
    <Pressable
      role="button"
      aria-label={label}
      aria-busy={busy}
      aria-disabled={off}
      disabled={off}
      onPress={onPress}
      style={({ pressed }) => [
        styles.button,
        kind === 'main'
          ? { backgroundColor: theme.accent }
          : { borderColor: theme.border, borderWidth: 1, backgroundColor: theme.card },
        { opacity: pressed || off ? 0.6 : 1 },
      ]}
    >
      {busy ? <ActivityIndicator aria-hidden color={colour} /> : null}
      <Text style={[styles.buttonText, { color: colour }]}>{label}</Text>
    </Pressable>
  );
}

type TextButtonProps = { label: string; aria?: string; onPress: () => void; tone?: Tone };

/** A button in a row of text. */
export function TextButton({ label, aria = label, onPress, tone = 'accent' }: TextButtonProps) {
  const theme = useTheme();
  return (
    <Pressable
      role="button"
      aria-label={aria}
      onPress={onPress}
      style={({ pressed }) => [styles.textButton, { opacity: pressed ? 0.6 : 1 }]}
    >
      <Text style={[styles.buttonText, { color: theme[tone] }]}>{label}</Text>
    </Pressable>
  );
}

type CopyProps = { text: string; label: string; shown?: string };

export function CopyButton({ text, label, shown = 'Copy' }: CopyProps) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <TextButton
      label={copied ? 'Copied' : shown}
      aria={copied ? 'Copied' : label}
      onPress={() => void Clipboard.setStringAsync(text).then(() => setCopied(true))}
    />
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

export function Field({ label, hint, ...rest }: FieldProps) {
  const theme = useTheme();
  return (
    <View style={styles.field}>
      <Text style={[styles.label, { color: theme.text }]}>{label}</Text>
      <TextInput
        aria-label={label}
        autoCapitalize="none"
        autoCorrect={false}
        placeholderTextColor={theme.muted}
        style={[
          styles.input,
          { color: theme.text, borderColor: theme.edge, backgroundColor: theme.background },
        ]}
        {...rest}
      />
      {hint ? <Text style={[styles.small, { color: theme.muted }]}>{hint}</Text> : null}
    </View>
  );
}

/** A word with a dot, such as the state of a job. */
export function Badge({ children, tone }: { children: string; tone: Tone }) {
  const theme = useTheme();
  return (
    <View style={styles.badge}>
      <View style={[styles.dot, { backgroundColor: theme[tone] }]} />
      <Text style={[styles.badgeText, { color: theme[tone] }]}>{children}</Text>
    </View>
  );
}

type SegmentsProps<T extends string> = {
  label: string;
  names: readonly { id: T; label: string }[];
  chosen: T;
  onChoose: (id: T) => void;
};

/** A choice of a few, side by side. */
export function Segments<T extends string>({ label, names, chosen, onChoose }: SegmentsProps<T>) {
  const theme = useTheme();
  return (
    <View role="tablist" aria-label={label} style={[styles.segments, { borderColor: theme.border }]}>
      {names.map(({ id, label: name }) => (
        <Pressable
          key={id}
          role="tab"
          aria-selected={id === chosen}
          onPress={() => onChoose(id)}
          style={[styles.segment, { borderColor: id === chosen ? theme.accent : 'transparent' }]}
        >
          <Text style={[styles.label, { color: id === chosen ? theme.text : theme.muted }]}>
            {name}
          </Text>
        </Pressable>
      ))}
    </View>
  );
}

type FoldedProps = { title: ReactNode; aria: string; children: ReactNode; open?: boolean };

/** A row that opens what lies below it. */
export function Folded({ title, aria, children, open: first = false }: FoldedProps) {
  const theme = useTheme();
  const [open, setOpen] = useState(first);
  return (
    <View>
      <Pressable
        role="button"
        aria-label={aria}
        aria-expanded={open}
        onPress={() => setOpen(!open)}
        style={({ pressed }) => [styles.folded, { opacity: pressed ? 0.6 : 1 }]}
      >
        <Text aria-hidden style={[styles.mark, { color: theme.muted }]}>
          {open ? '▾' : '▸'}
        </Text>
        {title}
      </Pressable>
      {open ? children : null}
    </View>
  );
}

const styles = StyleSheet.create({
  card: { borderRadius: 12, borderWidth: 1, gap: space.medium, padding: space.medium },
  tight: { gap: 0, paddingVertical: space.small },
  heading: { fontWeight: '700', lineHeight: 30 },
  words: { fontSize: 16, lineHeight: 24 },
  small: { fontSize: 14, lineHeight: 20 },
  code: { fontFamily: mono, fontSize: 14, lineHeight: 20 },
  block: { alignItems: 'center', borderRadius: 8, flexDirection: 'row', paddingRight: space.small },
  blockText: { padding: 12 },
  problem: { borderLeftWidth: 4, paddingLeft: space.medium, paddingVertical: space.small },
  button: {
    alignItems: 'center',
    borderRadius: 10,
    flexDirection: 'row',
    flexGrow: 1,
    gap: space.small,
    justifyContent: 'center',
    minHeight: target,
    paddingHorizontal: space.medium,
  },
  buttonText: { fontSize: 16, fontWeight: '600' },
  textButton: {
    justifyContent: 'center',
    minHeight: target,
    minWidth: target,
    paddingHorizontal: space.small,
  },
  link: {
    borderRadius: 10,
    fontSize: 16,
    fontWeight: '600',
    lineHeight: target,
    minHeight: target,
    textAlign: 'center',
  },
  field: { gap: 6 },
  label: { fontSize: 15, fontWeight: '600' },
  input: {
    borderRadius: 10,
    borderWidth: 1,
    fontSize: input,
    minHeight: target,
    paddingHorizontal: 12,
    paddingVertical: 12,
  },
  badge: { alignItems: 'center', flexDirection: 'row', gap: 6 },
  dot: { borderRadius: 5, height: 10, width: 10 },
  badgeText: { fontSize: 14, fontWeight: '600' },
  segments: { borderBottomWidth: 1, flexDirection: 'row' },
  segment: {
    alignItems: 'center',
    borderBottomWidth: 3,
    flex: 1,
    justifyContent: 'center',
    minHeight: target,
  },
  folded: { alignItems: 'center', flexDirection: 'row', gap: space.small, minHeight: target },
  mark: { fontSize: 16, width: 16 },
});
