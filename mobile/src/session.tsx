/** Who is signed in, and where. */
import { createContext, type ReactNode, use, useEffect, useMemo, useState } from 'react';

import { Api } from './api/client';
import * as storage from './storage';

export type SignedIn = { server: string; token: string };
type Session = {
  /** Null while nobody is signed in. */
  api: Api | null;
  /** False until the key store was read. */
  ready: boolean;
  signIn: (who: SignedIn) => void;
  signOut: () => void;
};

const Context = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [who, setWho] = useState<SignedIn | null>(null);
  const [ready, setReady] = useState(false);

  useEffect(() => {
    storage
      .read()
      .then((kept) => kept && setWho(JSON.parse(kept) as SignedIn))
      .catch(() => storage.forget()) // written by another version, or a key store that was reset
      .finally(() => setReady(true));
  }, []);

  const session = useMemo<Session>(
    () => ({
      api: who && new Api(who.server, who.token),
      ready,
      signIn: (next) => {
        setWho(next);
        void storage.write(JSON.stringify(next));
      },
      signOut: () => {
        setWho(null);
        void storage.forget();
      },
    }),
    [who, ready],
  );
  return <Context value={session}>{children}</Context>;
}

export function useSession(): Session {
  const session = use(Context);
  if (session === null) throw new Error('useSession needs a SessionProvider around it');
  return session;
}
