/** Where the job stands, in one line; read aloud as it changes. */
import { StyleSheet, View } from 'react-native';

import { column, space, useTheme } from '../theme';
import { Problem, TextButton, Words } from '../ui';
import type { Watched } from '../useJob';
import { ago, dollars, limit, TONE, whereItStands } from '../words';

export function Banner({ view, status, connection, refused, tryNow }: Watched) {
  const theme = useTheme();
  const last = view.end ? null : (view.log.at(-1)?.at ?? view.askedAt);
  return (
    <View style={[styles.banner, { backgroundColor: theme.card, borderColor: theme.border }]}>
      <View style={styles.column}>
        <View style={styles.line}>
          <View style={[styles.dot, { backgroundColor: theme[TONE[view.state]] }]} />
          <View role="status" aria-live="polite" style={styles.words}>
            <Words lines={2}>
              {refused && !view.seq ? 'Nothing to see here' : whereItStands(view, status)}
            </Words>
          </View>
          {view.seq ? (
            <Words small tone="muted">
              {dollars(view.usd) + (status ? ` of ${limit(status.ceiling_usd)}` : '')}
            </Words>
          ) : null}
        </View>
        {refused ? <Problem>{refused}</Problem> : null}
        {connection === 'lost' && !refused ? (
          <View style={styles.line}>
            <View role="status" style={styles.words}>
              <Words small tone="warn">
                {view.seq
                  ? `No connection. This is what was known${last ? ` ${ago(last)}` : ''}.`
                  : 'No connection.'}
              </Words>
            </View>
            <TextButton label="Try now" onPress={tryNow} />
          </View>
        ) : null}
      </View>
    </View>
  );
}

const styles = StyleSheet.create({
  banner: { borderBottomWidth: 1, paddingVertical: space.small },
  column: { ...column, paddingHorizontal: space.medium },
  line: { alignItems: 'center', flexDirection: 'row', gap: space.small },
  words: { flex: 1 },
  dot: { borderRadius: 6, height: 12, width: 12 },
});
