/** A wish becomes a plan, an accepted plan becomes a pull request. */
import { useLocalSearchParams, useRouter } from 'expo-router';
import { View } from 'react-native';

import type { Plan } from '@/api/client';
import { JobPanel } from '@/job/JobPanel';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { TextButton } from '@/ui';
import { WishForm } from '@/WishForm';

export default function Screen() {
  const { api, ready } = useSession();
  const router = useRouter();
  const { job } = useLocalSearchParams<{ job?: string }>(); // in the address: survives a reload

  if (!ready) return null;
  if (!api) return <SignIn />;
  if (!job) return <WishForm onAsked={(id) => router.setParams({ job: id })} />;

  async function handleAcceptPlan(plan: Plan) {
    if (!api || !job) return;
    const accepted = await api.execute(job, plan.digest);
    router.setParams({ job: undefined }); // this tab is for the next wish
    router.push({ pathname: '/job/[id]', params: { id: accepted } });
  }

  return (
    <>
      <View style={{ alignItems: 'flex-start' }}>
        <TextButton label="‹ Another wish" onPress={() => router.setParams({ job: undefined })} />
      </View>
      <JobPanel key={job} id={job} onAcceptPlan={handleAcceptPlan} />
    </>
  );
}
