import { Tabs } from 'expo-router';

import { useTheme } from '@/theme';

export default function Layout() {
  const theme = useTheme();
  return (
    <Tabs
      screenOptions={{
        headerStyle: { backgroundColor: theme.card, borderBottomColor: theme.border },
        headerTitleStyle: { fontWeight: '600' },
        headerTintColor: theme.text,
        sceneStyle: { backgroundColor: theme.background },
        tabBarStyle: { display: 'none' }, // one screen needs no bar to choose it
      }}
    >
      <Tabs.Screen name="index" options={{ title: 'Vibecoder' }} />
    </Tabs>
  );
}
