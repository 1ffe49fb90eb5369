/** One job, whatever its state: where it stands, its plan, its changes, its log, and what to do. */
import { useNavigation, useRouter } from 'expo-router';
import { useEffect, useRef, useState } from 'react';
import { ScrollView, StyleSheet, View } from 'react-native';

import type { Plan } from '../api/client';
import { hasEnded } from '../fold';
import { Room } from '../Room';
import { column, space } from '../theme';
import { Segments } from '../ui';
import { useDraft } from '../useDraft';
import { useJob } from '../useJob';
import { Actions } from './Actions';
import { Banner } from './Banner';
import { Changes } from './Changes';
import { Ending } from './Ending';
import { Log } from './Log';
import { PlanView } from './PlanView';
import { Wish } from './Wish';

type Part = 'plan' | 'changes' | 'log';

/** `onAcceptPlan` rejects with a sentence where the plan can't be accepted. */
type Props = { id: string; onAcceptPlan: (plan: Plan) => Promise<unknown> };

export function JobPanel({ id, onAcceptPlan }: Props) {
  const router = useRouter();
  const navigation = useNavigation();
  const job = useJob(id);
  const [part, setPart] = useState<Part>('plan');
  const [draft, setDraft] = useDraft(`job:${id}`);
  const scroller = useRef<ScrollView>(null);
  const { view } = job;
  const files = new Set(view.commits.flatMap((commit) => commit.files)).size;

  const { state } = view;
  useEffect(() => {
    // What there is to do now shows at the top: a plan to read, a pull request to open.
    scroller.current?.scrollTo({ y: 0, animated: false });
  }, [state]);

  const where = view.repository + (view.issue ? `#${view.issue}` : '');
  useEffect(() => {
    if (where) navigation.setOptions({ headerTitle: where });
  }, [navigation, where]);

  const names = [
    { id: 'plan', label: 'Plan' },
    { id: 'changes', label: files ? `Changes (${files})` : 'Changes' },
    { id: 'log', label: 'Log' },
  ] as const;

  return (
    <Room>
      <Banner {...job} />
      <View style={styles.column}>
        <Segments label="Parts of the job" names={names} chosen={part} onChoose={setPart} />
      </View>
      {part === 'log' ? (
        <Log entries={view.log} />
      ) : (
        <ScrollView
          ref={scroller}
          style={styles.all}
          contentContainerStyle={styles.page}
          keyboardShouldPersistTaps="handled"
        >
          {part === 'plan' ? (
            <>
              {hasEnded(view.state) ? <Ending id={id} {...job} /> : null}
              {view.mayWork ? null : <Wish view={view} />}
              <PlanView
                view={view}
                onQuote={(words) => setDraft(draft ? `${draft}\n${words}` : words)}
              />
              {view.mayWork ? <Wish view={view} /> : null}
            </>
          ) : (
            <Changes id={id} commits={view.commits} />
          )}
        </ScrollView>
      )}
      <Actions
        id={id}
        job={job}
        draft={draft}
        onDraft={setDraft}
        onAcceptPlan={onAcceptPlan}
        onOpenJob={(next) => router.push({ pathname: '/job/[id]', params: { id: next } })}
      />
    </Room>
  );
}

const styles = StyleSheet.create({
  all: { flex: 1 },
  column: { ...column, paddingHorizontal: space.medium },
  page: { ...column, gap: space.medium, padding: space.medium },
});
