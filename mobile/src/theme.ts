/** Colours and sizes. Contrast of text is at least 4.5:1 in both schemes. */
import { useColorScheme } from 'react-native';

const light = {
  background: '#f6f7f9',
  card: '#ffffff',
  border: '#d0d7de',
  text: '#1f2328',
  muted: '#59636e',
  accent: '#0969da',
  onAccent: '#ffffff',
  good: '#1a7f37',
  bad: '#c02a33',
  warn: '#8a5a00',
};

const dark: typeof light = {
  background: '#0d1117',
  card: '#151b23',
  border: '#3d444d',
  text: '#f0f6fc',
  muted: '#9198a1',
  accent: '#4493f8',
  onAccent: '#0d1117',
  good: '#3fb950',
  bad: '#ff7b72',
  warn: '#d29922',
};

export type Theme = typeof light;

export const space = { small: 8, medium: 16, large: 24 };
export const target = 48; // the least height of anything to be touched
export const input = 16; // smaller, and iOS zooms in

export function useTheme(): Theme {
  return useColorScheme() === 'dark' ? dark : light;
}
