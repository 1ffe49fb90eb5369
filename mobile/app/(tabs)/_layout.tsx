import { Tabs } from 'expo-router';
import type { ColorValue } from 'react-native';

import { Icon } from '@/Icon';
import { useSession } from '@/session';
import { font, useTheme } from '@/theme';

const icon = (name: 'new' | 'jobs' | 'you') =>
  function TabIcon({ color }: { color: ColorValue }) {
    return <Icon name={name} color={color} />;
  };

export default function Layout() {
  const { api } = useSession();
  const theme = useTheme();
  return (
    <Tabs
      screenOptions={{
        headerShown: api !== null,
        tabBarStyle: api ? { minHeight: 60 } : { display: 'none' },
        tabBarInactiveTintColor: theme.muted,
        tabBarLabelStyle: { fontFamily: font, fontSize: 13 },
        headerTitleStyle: { fontFamily: font, fontSize: 18, fontWeight: '600' },
      }}
    >
      <Tabs.Screen name="index" options={{ title: 'New', tabBarIcon: icon('new') }} />
      <Tabs.Screen name="jobs" options={{ title: 'Jobs', tabBarIcon: icon('jobs') }} />
      <Tabs.Screen name="you" options={{ title: 'You', tabBarIcon: icon('you') }} />
    </Tabs>
  );
}
