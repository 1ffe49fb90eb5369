import { useRouter } from 'expo-router';
import { StyleSheet, View } from 'react-native';

import { space } from '@/theme';
import { Button, Heading } from '@/ui';

export default function Screen() {
  const router = useRouter();
  return (
    <View role="main" style={styles.page}>
      <Heading level={1}>There is nothing at this address.</Heading>
      <View style={styles.row}>
        <Button label="To the start" onPress={() => router.replace('/')} />
      </View>
    </View>
  );
}

const styles = StyleSheet.create({
  page: { gap: space.large, padding: space.large },
  row: { flexDirection: 'row' },
});
