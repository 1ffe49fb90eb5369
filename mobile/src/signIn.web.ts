/** Signing in in a browser: the service sends it to GitHub and gives it a cookie that no script
 * can read. */
import type { SignedIn } from './signIn';

export type { SignedIn } from './signIn';

/** The page comes from the service. */
export const asksForServer = false;

/** Whether the cookie is there and good, only the service can tell. */
export const restore = async (): Promise<SignedIn | null> => ({ server: '', token: null });

/** Leaves the page; the service leads back to it. */
export function signIn(_server: string): Promise<SignedIn | null> {
  const { pathname, search } = window.location;
  window.location.assign(`/auth/github?next=${encodeURIComponent(pathname + search)}`);
  return new Promise(() => undefined);
}

export const forget = async (): Promise<void> => undefined;
