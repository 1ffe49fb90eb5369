/** Who is signed in, and where. */
import { createContext, type ReactNode, use, useEffect, useMemo, useState } from 'react';

import { Api, type Person } from './api/client';
import { Refused, Unreachable } from './api/errors';
import * as push from './push';
import * as github from './signIn';
import * as storage from './storage';

type Session = {
  /** Null while nobody is signed in. */
  api: Api | null;
  /** Null where nobody was ever known. */
  person: Person | null;
  /** False until it is known whether somebody is signed in. */
  ready: boolean;
  /** Ends at the same place in the app. Rejects with a sentence. */
  signIn: (server: string) => Promise<void>;
  signOut: () => Promise<void>;
  /** A sentence about what went wrong; a 401 leads to sign-in instead, and is no sentence. */
  explain: (error: unknown) => string;
};

const Context = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [api, setApi] = useState<Api | null>(null);
  const [person, setPerson] = useState<Person | null>(null);
  const [ready, setReady] = useState(false);

  useEffect(() => {
    void restore().then((found) => {
      setApi(found?.api ?? null);
      setPerson(found?.person ?? null);
      setReady(true);
    });
  }, []);

  useEffect(() => {
    if (api) void push.renew(api).catch(() => undefined); // once more at the next start
  }, [api]);

  const session = useMemo<Session>(
    () => ({
      api,
      person,
      ready,
      signIn: async (server) => {
        const signedIn = await github.signIn(server);
        if (!signedIn) return;
        const found = new Api(signedIn.server, signedIn.token);
        setPerson(await known(found));
        setApi(found);
      },
      signOut: async () => {
        if (api) await push.turnOff(api).catch(() => undefined); // the service sees to it as well
        await api?.signOut().catch(() => undefined); // it ends by itself in the end
        await github.forget();
        storage.forgetAll();
        setApi(null);
        setPerson(null);
      },
      explain: (error) => {
        if (error instanceof Refused && error.status === 401) {
          setApi(null);
          return '';
        }
        return error instanceof Error ? error.message : String(error);
      },
    }),
    [api, person, ready],
  );
  return <Context value={session}>{children}</Context>;
}

export function useSession(): Session {
  const session = use(Context);
  if (session === null) throw new Error('useSession needs a SessionProvider around it');
  return session;
}

/** Whoever was signed in before, also without a connection. */
async function restore(): Promise<{ api: Api; person: Person } | null> {
  const signedIn = await github.restore();
  if (!signedIn) return null;
  const api = new Api(signedIn.server, signedIn.token);
  try {
    return { api, person: await known(api) };
  } catch (error) {
    const before = storage.read('person');
    const away = error instanceof Unreachable || (error instanceof Refused && error.status >= 500);
    return away && before ? { api, person: JSON.parse(before) as Person } : null;
  }
}

/** Asks who this is. What another person left on this phone goes. */
async function known(api: Api): Promise<Person> {
  const person = await api.me();
  const before = storage.read('person');
  if (before && (JSON.parse(before) as Person).login !== person.login) {
    storage.forgetAll();
    await push.turnOff(api).catch(() => undefined); // who turned it on is not who is here
  }
  storage.write('person', JSON.stringify(person));
  return person;
}
