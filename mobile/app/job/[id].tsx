/** A job at an address of its own: what notifications and comments lead to. */
import { Stack, useLocalSearchParams, useRouter } from 'expo-router';

import { JobPanel } from '@/job/JobPanel';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { font } from '@/theme';
import { TextButton } from '@/ui';

export default function Screen() {
  const { api, ready } = useSession();
  const router = useRouter();
  const { id } = useLocalSearchParams<{ id: string }>();
  if (!ready) return null;
  if (!api) return <SignIn />;
  return (
    <>
      <Stack.Screen
        options={{
          headerShown: true,
          title: 'Job',
          headerTitleStyle: { fontFamily: font, fontSize: 18, fontWeight: '600' },
          headerLeft: () => <TextButton label="‹ Jobs" onPress={() => router.dismissTo('/jobs')} />,
        }}
      />
      <JobPanel key={id} id={id} onAcceptPlan={(plan) => api.execute(id, plan.digest)} />
    </>
  );
}
