import { Tabs } from 'expo-router';
import type { ColorValue } from 'react-native';

import { Icon } from '@/Icon';
import { useSession } from '@/session';

const icon = (name: 'new' | 'jobs' | 'you') =>
  function TabIcon({ color }: { color: ColorValue }) {
    return <Icon name={name} color={color} />;
  };

export default function Layout() {
  const { api } = useSession();
  return (
    <Tabs
      screenOptions={{
        headerShown: api !== null,
        tabBarStyle: api ? { minHeight: 60 } : { display: 'none' },
        tabBarLabelStyle: { fontSize: 13 },
      }}
    >
      <Tabs.Screen name="index" options={{ title: 'New', tabBarIcon: icon('new') }} />
      <Tabs.Screen name="jobs" options={{ title: 'Jobs', tabBarIcon: icon('jobs') }} />
      <Tabs.Screen name="you" options={{ title: 'You', tabBarIcon: icon('you') }} />
    </Tabs>
  );
}
