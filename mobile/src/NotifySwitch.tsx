/** Being told when it matters: a plan is ready, a job ended. */
import { useEffect, useState } from 'react';
import { Pressable, StyleSheet, View } from 'react-native';

import { useSession } from './session';
import * as push from './push';
import { space, target, useTheme } from './theme';
import { Card, Problem, Words } from './ui';

export function NotifySwitch() {
  const { api, explain } = useSession();
  const theme = useTheme();
  const [on, setOn] = useState(false);
  const [busy, setBusy] = useState(true);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    push
      .isOn()
      .then(setOn)
      .finally(() => setBusy(false));
  }, []);

  if (!push.POSSIBLE) {
    return (
      <Card>
        <Words tone="muted">{push.INSTEAD}</Words>
      </Card>
    );
  }

  async function handleChange(wanted: boolean) {
    if (!api) return;
    setBusy(true);
    setProblem('');
    try {
      await (wanted ? push.turnOn(api) : push.turnOff(api));
      setOn(wanted);
    } catch (error) {
      setProblem(explain(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <Card>
      <Pressable
        role="switch"
        aria-label="Notify me"
        aria-checked={on}
        aria-disabled={busy}
        disabled={busy}
        onPress={() => void handleChange(!on)}
        style={[styles.row, { opacity: busy ? 0.6 : 1 }]}
      >
        <View style={styles.words}>
          <Words>Notify me</Words>
          <Words small tone="muted">
            When a plan is ready, a question comes up, or a job ends.
          </Words>
        </View>
        <View style={[styles.track, { backgroundColor: on ? theme.accent : theme.edge }]}>
          <View style={[styles.knob, on ? styles.on : null]} />
        </View>
      </Pressable>
      {problem ? <Problem>{problem}</Problem> : null}
    </Card>
  );
}

const styles = StyleSheet.create({
  row: { alignItems: 'center', flexDirection: 'row', gap: space.medium, minHeight: target },
  words: { flex: 1 },
  track: { borderRadius: 16, height: 32, padding: 3, width: 54 },
  knob: { backgroundColor: '#ffffff', borderRadius: 13, height: 26, width: 26 },
  on: { alignSelf: 'flex-end' },
});
