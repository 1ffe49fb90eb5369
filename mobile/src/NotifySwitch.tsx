/** Being told when it matters: a plan is ready, a job ended. */
import { useEffect, useState } from 'react';
import { StyleSheet, Switch, View } from 'react-native';

import { useSession } from './session';
import * as push from './push';
import { target, useTheme } from './theme';
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
      <View style={styles.row}>
        <View style={styles.words}>
          <Words>Notify me</Words>
          <Words small tone="muted">
            When a plan is ready, a question comes up, or a job ends.
          </Words>
        </View>
        <Switch
          aria-label="Notify me"
          disabled={busy}
          value={on}
          onValueChange={(wanted) => void handleChange(wanted)}
          trackColor={{ true: theme.accent, false: theme.edge }}
        />
      </View>
      {problem ? <Problem>{problem}</Problem> : null}
    </Card>
  );
}

const styles = StyleSheet.create({
  row: { alignItems: 'center', flexDirection: 'row', minHeight: target },
  words: { flex: 1 },
});
