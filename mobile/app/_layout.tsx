import { DarkTheme, DefaultTheme, type ErrorBoundaryProps, Stack, ThemeProvider } from 'expo-router';
import { StatusBar } from 'expo-status-bar';
import { StyleSheet, View } from 'react-native';

import { SessionProvider } from '@/session';
import { space, useIsDark, useTheme } from '@/theme';
import { Button, Heading, Problem, Words } from '@/ui';

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

/** The app itself failed. Jobs do not notice. */
export function ErrorBoundary({ error, retry }: ErrorBoundaryProps) {
  const theme = useTheme();
  return (
    <View role="main" style={[styles.page, { backgroundColor: theme.background }]}>
      <Heading level={1}>The app stumbled</Heading>
      <Words>Your jobs go on. Please tell whoever runs this what it says here.</Words>
      <Problem>{error.message}</Problem>
      <View style={styles.row}>
        <Button label="Try again" onPress={() => void retry()} />
      </View>
    </View>
  );
}

const styles = StyleSheet.create({
  page: { flex: 1, gap: space.large, justifyContent: 'center', padding: space.large },
  row: { flexDirection: 'row' },
});
