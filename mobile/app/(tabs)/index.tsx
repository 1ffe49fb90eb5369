/** A wish becomes a plan, an accepted plan becomes a pull request. */
import { useLocalSearchParams, useRouter } from 'expo-router';
import { useEffect, useRef, useState } from 'react';
import { KeyboardAvoidingView, Platform, ScrollView, StyleSheet } from 'react-native';

import { hasEnded, Refused, type Status, Stopped } from '@/api/client';
import { PlanCard } from '@/PlanCard';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { StatusCard } from '@/StatusCard';
import { space } from '@/theme';
import { Button, Problem } from '@/ui';
import { WishForm } from '@/WishForm';

const waitsForPerson = (status: Status) =>
  status.state === 'awaiting_approval' || hasEnded(status);

export default function Screen() {
  const { api, ready, signIn, signOut } = useSession();
  const router = useRouter();
  const { job } = useLocalSearchParams<{ job?: string }>(); // in the address: survives a reload
  const [status, setStatus] = useState<Status | null>(null);
  const [pullRequest, setPullRequest] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const shown = useRef<AbortController | null>(null);
  const page = useRef<ScrollView>(null);

  useEffect(() => {
    const controller = new AbortController();
    shown.current = controller;
    return () => controller.abort();
  }, [api, job]);

  function say(error: unknown) {
    if (error instanceof Stopped) return;
    if (error instanceof Refused && error.status === 401) signOut();
    setProblem(error instanceof Error ? error.message : String(error));
  }

  useEffect(() => {
    if (!api || !job) return;
    const controller = new AbortController();
    api.watch(job, waitsForPerson, setStatus, controller.signal).catch(say);
    return () => controller.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `say` only sets state
  }, [api, job]);

  const state = status?.state;
  useEffect(() => {
    // How it goes, and the pull request in the end, show at the top.
    if (state) page.current?.scrollTo({ y: 0, animated: false });
  }, [state, pullRequest]);

  async function handleAsk(wish: Parameters<NonNullable<typeof api>['askPlan']>[0]) {
    if (!api) return;
    setBusy(true);
    setProblem('');
    try {
      router.setParams({ job: await api.askPlan(wish) });
    } catch (error) {
      say(error);
    } finally {
      setBusy(false);
    }
  }

  async function handleAcceptPlan() {
    const signal = shown.current?.signal;
    if (!api || !status?.plan || !signal) return;
    setBusy(true);
    setProblem('');
    try {
      const jobId = await api.execute(status.job_id, status.plan.digest);
      const ended = await api.watch(jobId, hasEnded, setStatus, signal);
      if (ended.state === 'succeeded' || ended.state === 'stopped') {
        setPullRequest(await api.createPullRequest(jobId, signal));
      }
    } catch (error) {
      say(error);
    } finally {
      setBusy(false);
    }
  }

  function handleStartOver() {
    router.setParams({ job: undefined });
    setStatus(null);
    setPullRequest(null);
    setProblem('');
  }

  if (!ready) return null;
  return (
    <KeyboardAvoidingView behavior={Platform.OS === 'ios' ? 'padding' : undefined} style={styles.all}>
      <ScrollView
        ref={page}
        contentContainerStyle={styles.page}
        keyboardShouldPersistTaps="handled"
      >
        {api ? null : <SignIn onSignIn={signIn} />}
        {api && !job ? <WishForm busy={busy} onAsk={handleAsk} /> : null}
        {api && job && status ? (
          <>
            <StatusCard status={status} pullRequest={pullRequest ?? status.pull_request_url} />
            {status.plan ? (
              <PlanCard
                plan={status.plan}
                busy={busy}
                onAccept={status.state === 'awaiting_approval' ? handleAcceptPlan : undefined}
              />
            ) : null}
          </>
        ) : null}
        {problem ? <Problem>{problem}</Problem> : null}
        {api && job ? <Button quiet label="Ask for something else" onPress={handleStartOver} /> : null}
        {api ? <Button quiet label="Sign out" onPress={signOut} /> : null}
      </ScrollView>
    </KeyboardAvoidingView>
  );
}

const styles = StyleSheet.create({
  all: { flex: 1 },
  page: {
    alignSelf: 'center',
    gap: space.medium,
    maxWidth: 720,
    padding: space.medium,
    width: '100%',
  },
});
