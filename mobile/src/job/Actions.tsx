/** What can be done with the job just now, always at the thumb. */
import { useState } from 'react';
import { StyleSheet, View } from 'react-native';
import { useSafeAreaInsets } from 'react-native-safe-area-context';

import type { Plan } from '../api/client';
import { Composer } from '../Composer';
import { hasEnded } from '../fold';
import { useSession } from '../session';
import { column, space, useTheme } from '../theme';
import { Button, LinkButton, Problem, Words } from '../ui';
import type { Watched } from '../useJob';
import { purposeOf } from '../words';

const COMPOSER = {
  revise: {
    label: 'Change the plan',
    placeholder: 'Ask for changes to the plan …',
    action: 'Ask for changes',
    sent: 'It plans again with your words.',
  },
  steer: {
    label: 'Tell the agent',
    placeholder: 'Tell the agent something …',
    action: 'Send to the agent',
    sent: 'Sent; the agent reads it before its next move.',
  },
  'follow-up': {
    label: 'Follow up',
    placeholder: 'What next?',
    action: 'Ask for a plan',
    sent: '',
  },
} as const;

type Props = {
  id: string;
  job: Watched;
  draft: string;
  onDraft: (text: string) => void;
  onAcceptPlan: (plan: Plan) => Promise<unknown>;
  /** Goes to another job: one that follows this one. */
  onOpenJob: (id: string) => void;
};

export function Actions({ id, job, draft, onDraft, onAcceptPlan, onOpenJob }: Props) {
  const { api, explain } = useSession();
  const theme = useTheme();
  const insets = useSafeAreaInsets();
  const [busy, setBusy] = useState<'' | 'accept' | 'stop' | 'retry' | 'send'>('');
  const [problem, setProblem] = useState('');
  const [sent, setSent] = useState('');
  const { view } = job;
  const { plan } = view;
  if (!api || !view.seq) return null;

  async function act(what: typeof busy, does: () => Promise<unknown>, done = '') {
    setBusy(what);
    setProblem('');
    setSent('');
    try {
      await does();
      setSent(done);
    } catch (error) {
      setProblem(explain(error));
    } finally {
      setBusy('');
    }
  }

  const purpose = purposeOf(view.state);
  const words = COMPOSER[purpose];

  const send = () =>
    act(
      'send',
      async () => {
        const text = draft.trim();
        if (purpose === 'steer') await api.steer(id, text);
        else if (purpose === 'revise' && plan) await api.revise(id, plan.digest, text);
        else {
          // A follow-up begins where this job ended.
          const base = view.commits.length ? view.branch : view.base;
          onOpenJob(await api.askPlan({ repository: view.repository, text, base }));
        }
        onDraft('');
      },
      words.sent,
    );

  return (
    <View
      style={[
        styles.bar,
        {
          backgroundColor: theme.card,
          borderColor: theme.border,
          paddingBottom: Math.max(insets.bottom, 12),
        },
      ]}
    >
      <View style={styles.column}>
        {problem ? <Problem>{problem}</Problem> : null}
        {sent ? (
          <View role="status">
            <Words small tone="good">
              {sent}
            </Words>
          </View>
        ) : null}
        <View style={styles.buttons}>
          {view.state === 'awaiting_approval' && plan ? (
            <Button
              label="Accept Plan"
              busy={busy === 'accept'}
              disabled={busy !== ''}
              onPress={() => void act('accept', () => onAcceptPlan(plan))}
            />
          ) : null}
          {hasEnded(view.state) && view.state !== 'succeeded' ? (
            <Button
              kind="quiet"
              label="Try again"
              busy={busy === 'retry'}
              disabled={busy !== ''}
              onPress={() => void act('retry', async () => onOpenJob(await api.retry(id)))}
            />
          ) : null}
          {view.pull && !hasEnded(view.state) ? (
            <View style={styles.grow}>
              <LinkButton label={`Open pull request #${view.pull.number}`} url={view.pull.url} />
            </View>
          ) : null}
        </View>
        <Composer
          {...words}
          text={draft}
          onChange={onDraft}
          onSend={() => void send()}
          busy={busy === 'send'}
          onStop={hasEnded(view.state) ? null : () => void act('stop', () => api.cancel(id))}
          stopping={busy === 'stop' || view.stopping}
        />
      </View>
    </View>
  );
}

const styles = StyleSheet.create({
  bar: { borderTopWidth: 1, paddingTop: 12 },
  column: { ...column, gap: space.small, paddingHorizontal: space.medium },
  buttons: { flexDirection: 'row', gap: space.small },
  grow: { flexGrow: 2 },
});
