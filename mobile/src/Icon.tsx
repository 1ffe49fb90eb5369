/** The tab bar's three pictures, drawn: a font of icons would weigh as much as the app. */
import { type ColorValue, StyleSheet, View } from 'react-native';

type Props = { name: 'new' | 'jobs' | 'you'; color: ColorValue };

export function Icon({ name, color }: Props) {
  const ink = { backgroundColor: color };
  return (
    <View aria-hidden style={styles.box}>
      {name === 'new' ? (
        <>
          <View style={[styles.across, ink]} />
          <View style={[styles.down, ink]} />
        </>
      ) : null}
      {name === 'jobs'
        ? [4, 11, 18].map((top) => <View key={top} style={[styles.bar, ink, { top }]} />)
        : null}
      {name === 'you' ? (
        <>
          <View style={[styles.head, { borderColor: color }]} />
          <View style={[styles.shoulders, { borderColor: color }]} />
        </>
      ) : null}
    </View>
  );
}

const styles = StyleSheet.create({
  box: { height: 24, overflow: 'hidden', width: 24 },
  across: { borderRadius: 1, height: 2, left: 3, position: 'absolute', top: 11, width: 18 },
  down: { borderRadius: 1, height: 18, left: 11, position: 'absolute', top: 3, width: 2 },
  bar: { borderRadius: 1, height: 2, left: 3, position: 'absolute', width: 18 },
  head: {
    borderRadius: 5,
    borderWidth: 2,
    height: 10,
    left: 7,
    position: 'absolute',
    top: 2,
    width: 10,
  },
  shoulders: {
    borderRadius: 9,
    borderWidth: 2,
    height: 18,
    left: 3,
    position: 'absolute',
    top: 14,
    width: 18,
  },
});
