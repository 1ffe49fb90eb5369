/** A wish becomes a plan, an accepted plan becomes a pull request. */
import { useLocalSearchParams, useNavigation, useRouter } from 'expo-router';
import { useEffect } from 'react';

import type { Plan } from '@/api/client';
import { JobPanel } from '@/job/JobPanel';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { TextButton } from '@/ui';
import { WishForm } from '@/WishForm';

export default function Screen() {
  const { api, ready } = useSession();
  const router = useRouter();
  const navigation = useNavigation();
  const { job } = useLocalSearchParams<{ job?: string }>(); // in the address: survives a reload

  useEffect(() => {
    const another = () => (
      <TextButton label="‹ New wish" onPress={() => router.setParams({ job: undefined })} />
    );
    navigation.setOptions(
      job ? { headerLeft: another } : { headerLeft: undefined, headerTitle: undefined },
    );
  }, [navigation, router, job]);

  if (!ready) return null;
  if (!api) return <SignIn />;
  if (!job) return <WishForm onAsked={(id) => router.setParams({ job: id })} />;

  async function handleAcceptPlan(plan: Plan) {
    if (!api || !job) return;
    const accepted = await api.execute(job, plan.digest);
    router.setParams({ job: undefined }); // this tab is for the next wish
    router.push({ pathname: '/job/[id]', params: { id: accepted } });
  }

  return <JobPanel key={job} id={job} onAcceptPlan={handleAcceptPlan} />;
}
