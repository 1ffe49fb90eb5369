/** Where the browser comes back to after signing in. On Android the system opens this page too,
 * beside telling the app what it waits for; there is nothing to see here. */
import { useRouter } from 'expo-router';
import { useEffect } from 'react';

export default function Screen() {
  const router = useRouter();
  useEffect(() => {
    if (router.canGoBack()) router.back();
    else router.replace('/');
  }, [router]);
  return null;
}
