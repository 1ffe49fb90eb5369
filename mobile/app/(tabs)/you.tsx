/** Who is signed in, and what they are told of. */
import { Image, ScrollView, StyleSheet, View } from 'react-native';

import { NotifySwitch } from '@/NotifySwitch';
import { useSession } from '@/session';
import { SignIn } from '@/SignIn';
import { column, space } from '@/theme';
import { Button, Card, Heading, Words } from '@/ui';

export default function Screen() {
  const { api, person, ready, signOut } = useSession();
  if (!ready) return null;
  if (!api) return <SignIn />;
  return (
    <ScrollView role="main" contentContainerStyle={styles.page}>
      <Card>
        <View style={styles.person}>
          {person?.avatar_url ? (
            <Image aria-hidden source={{ uri: person.avatar_url }} style={styles.avatar} />
          ) : null}
          <View>
            <Heading>{person?.login ?? ''}</Heading>
            {api.server ? <Words tone="muted">{api.server}</Words> : null}
          </View>
        </View>
      </Card>
      <NotifySwitch />
      <View style={styles.row}>
        <Button kind="quiet" label="Sign out" onPress={() => void signOut()} />
      </View>
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  page: { ...column, gap: space.medium, padding: space.medium },
  person: { alignItems: 'center', flexDirection: 'row', gap: space.medium },
  avatar: { borderRadius: 28, height: 56, width: 56 },
  row: { flexDirection: 'row' },
});
