import { DarkTheme, DefaultTheme, Stack, ThemeProvider } from 'expo-router';
import { StatusBar } from 'expo-status-bar';

import { SessionProvider } from '@/session';
import { useIsDark, useTheme } from '@/theme';

export const unstable_settings = { anchor: '(tabs)' };

export default function Layout() {
  const theme = useTheme();
  const base = useIsDark() ? DarkTheme : DefaultTheme;
  const colors = {
    ...base.colors,
    background: theme.background,
    border: theme.border,
    card: theme.card,
    primary: theme.accent,
    text: theme.text,
  };
  return (
    <SessionProvider>
      <ThemeProvider value={{ ...base, colors }}>
        <StatusBar style="auto" />
        <Stack screenOptions={{ headerShown: false }} />
      </ThemeProvider>
    </SessionProvider>
  );
}
