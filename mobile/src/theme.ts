/** Colours and sizes. Contrast of text is at least 4.5:1 in both schemes. */
import { Platform, useColorScheme } from 'react-native';

const light = {
  background: '#f6f7f9',
  card: '#ffffff',
  sunken: '#eef1f4',
  border: '#d0d7de',
  edge: '#818b98',
  text: '#1f2328',
  muted: '#59636e',
  accent: '#0860ca',
  onAccent: '#ffffff',
  good: '#1a7f37',
  bad: '#c02a33',
  warn: '#845400',
  added: '#dafbe1',
  deleted: '#ffebe9',
  hunk: '#ddf4ff',
};

const dark: typeof light = {
  background: '#0d1117',
  card: '#151b23',
  sunken: '#1f2630',
  border: '#3d444d',
  edge: '#656c76',
  text: '#f0f6fc',
  muted: '#9ba3ad',
  accent: '#58a6ff',
  onAccent: '#0d1117',
  good: '#3fb950',
  bad: '#ff8b82',
  warn: '#d9a62e',
  added: '#12261e',
  deleted: '#2d1618',
  hunk: '#121d2f',
};

export type Theme = typeof light;

export const space = { tiny: 4, small: 8, medium: 16, large: 24 };
export const target = 48; // the least height of anything to be touched
export const input = 16; // smaller, and iOS zooms in
export const page = 720; // the widest column
export const column = { alignSelf: 'center', maxWidth: page, width: '100%' } as const;
export const mono = Platform.select({
  ios: 'Menlo',
  default: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
  android: 'monospace',
});

/** What React Native for browsers calls its stack of system fonts; phones need no name for theirs. */
export const font = Platform.select({ web: 'System', default: undefined });

export const useIsDark = (): boolean => useColorScheme() === 'dark';

export const useTheme = (): Theme => (useIsDark() ? dark : light);
