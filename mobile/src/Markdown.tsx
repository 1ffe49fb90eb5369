/** Markdown as a model or a person wrote it. Raw HTML shows as text, and no image is fetched. */
import { type Href, Link } from 'expo-router';
import { marked, type Token, type Tokens } from 'marked';
import { memo, type ReactNode } from 'react';
import { StyleSheet, Text, View } from 'react-native';

import { mono, space, type Theme, useTheme } from './theme';
import { CodeBlock } from './ui';

export const Markdown = memo(function Markdown({ children }: { children: string }) {
  const theme = useTheme();
  return <View style={styles.blocks}>{blocks(marked.lexer(children), theme)}</View>;
});

/** One line of it: titles, list entries. */
export function Inline({ children, style }: { children: string; style?: object }) {
  const theme = useTheme();
  return (
    <Text selectable style={[styles.words, { color: theme.text }, style]}>
      {inline(marked.Lexer.lexInline(children), theme)}
    </Text>
  );
}

function blocks(tokens: Token[], theme: Theme): ReactNode[] {
  return tokens.map((token, index) => <Block key={index} token={token} theme={theme} />);
}

function Block({ token, theme }: { token: Token; theme: Theme }): ReactNode {
  const words = [styles.words, { color: theme.text }];
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'heading':
      return (
        <Text role="heading" aria-level={3} selectable style={[...words, styles.heading]}>
          {inline(token.tokens ?? [], theme)}
        </Text>
      );
    case 'code':
      return <CodeBlock text={token.text} />;
    case 'blockquote':
      return (
        <View style={[styles.quote, { borderColor: theme.border }]}>
          {blocks(token.tokens ?? [], theme)}
        </View>
      );
    case 'list':
      return <List list={token as Tokens.List} theme={theme} />;
    case 'table': // as it was written: columns of a phone's width can't be read
      return <CodeBlock text={token.raw.trim()} label="Copy table" />;
    case 'hr':
      return <View style={[styles.rule, { backgroundColor: theme.border }]} />;
    default:
      return (
        <Text selectable style={words}>
          {'tokens' in token && token.tokens ? inline(token.tokens, theme) : text(token)}
        </Text>
      );
  }
}

function List({ list, theme }: { list: Tokens.List; theme: Theme }) {
  const first = Number(list.start) || 1;
  return (
    <View role="list" style={styles.list}>
      {list.items.map((item, index) => (
        <View key={index} role="listitem" style={styles.item}>
          <Text style={[styles.words, { color: theme.muted }]}>
            {item.task ? (item.checked ? '☑' : '☐') : list.ordered ? `${first + index}.` : '•'}
          </Text>
          <View style={styles.itemBody}>
            {blocks(
              item.tokens.filter(({ type }) => type !== 'checkbox'),
              theme,
            )}
          </View>
        </View>
      ))}
    </View>
  );
}

function inline(tokens: Token[], theme: Theme): ReactNode[] {
  return tokens.map((token, index) => {
    switch (token.type) {
      case 'strong':
        return <Text key={index} style={styles.strong}>{inline(token.tokens ?? [], theme)}</Text>;
      case 'em':
        return <Text key={index} style={styles.em}>{inline(token.tokens ?? [], theme)}</Text>;
      case 'del':
        return <Text key={index} style={styles.del}>{inline(token.tokens ?? [], theme)}</Text>;
      case 'codespan':
        return (
          <Text key={index} style={[styles.code, { backgroundColor: theme.sunken }]}>
            {token.text}
          </Text>
        );
      case 'link':
        // Only where it says where it leads: no javascript:, no mail, no path of our own.
        if (!/^https?:\/\//i.test(token.href)) return <Text key={index}>{token.raw}</Text>;
        return (
          <Link
            key={index}
            href={token.href as Href}
            target="_blank"
            rel="noreferrer"
            style={{ color: theme.accent, textDecorationLine: 'underline' }}
          >
            {inline(token.tokens ?? [], theme)}
          </Link>
        );
      case 'image': // fetched, it would tell its server who reads
        return <Text key={index}>{`[image: ${token.text || token.href}]`}</Text>;
      case 'br':
        return '\n';
      default:
        return (
          <Text key={index}>
            {'tokens' in token && token.tokens ? inline(token.tokens, theme) : text(token)}
          </Text>
        );
    }
  });
}

const text = (token: Token): string => ('text' in token ? String(token.text) : token.raw);

const styles = StyleSheet.create({
  blocks: { gap: 12 },
  words: { fontSize: 16, lineHeight: 24 },
  heading: { fontSize: 17, fontWeight: '700' },
  strong: { fontWeight: '700' },
  em: { fontStyle: 'italic' },
  del: { textDecorationLine: 'line-through' },
  code: { borderRadius: 4, fontFamily: mono, fontSize: 14 },
  quote: { borderLeftWidth: 3, gap: space.small, paddingLeft: 12 },
  rule: { height: 1 },
  list: { gap: space.tiny },
  item: { flexDirection: 'row', gap: space.small },
  itemBody: { flex: 1, gap: space.small },
});
