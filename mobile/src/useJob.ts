/** One job, watched: what is known of it, and how fresh that is. */
import { useEffect, useRef, useState } from 'react';

import type { Connection, Status } from './api/client';
import { fold, NOTHING, type View } from './fold';
import { useSession } from './session';
import * as storage from './storage';
import { useAwake } from './useAwake';

const SHAPE = 1; // of a View; raise it when what was kept can't be read any more
const LARGEST = 500_000; // characters of a view that is worth keeping
const KEEP_AFTER = 1_000; // milliseconds of rest
const LOOK_EVERY = 5_000; // milliseconds between two looks at the queue

export type Watched = {
  view: View;
  /** What no event tells: the money it may cost, the queue, a commit that was kept. */
  status: Status | null;
  connection: Connection;
  /** Why the service shows it no longer. */
  refused: string;
  /** Connects at once, for who does not want to wait. */
  tryNow: () => void;
};

export function useJob(id: string): Watched {
  const { api, explain } = useSession();
  const awake = useAwake();
  const [view, setView] = useState(() => kept(id));
  const [status, setStatus] = useState<Status | null>(null);
  const [connection, setConnection] = useState<Connection>('connecting');
  const [refused, setRefused] = useState('');
  const [turn, setTurn] = useState(0);
  const latest = useRef(view);

  useEffect(() => {
    if (!api || !awake) return;
    const watching = new AbortController();
    api
      .watch(id, {
        after: () => latest.current.seq,
        onConnection: setConnection,
        signal: watching.signal,
        onEvents: (events) => {
          latest.current = events.reduce(
            (seen, { seq, event }) => fold(seen, seq, event),
            latest.current,
          );
          setView(latest.current);
        },
      })
      .catch((error: unknown) => setRefused(explain(error)));
    return () => watching.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `explain` only sets state
  }, [api, id, awake, turn]);

  useEffect(() => {
    const timer = setTimeout(() => keep(id, view), KEEP_AFTER);
    return () => clearTimeout(timer);
  }, [id, view]);

  const { state } = view;
  useEffect(() => {
    if (!api || !awake) return;
    // Where it can't be had, the stream says so.
    const look = () => void api.status(id).then(setStatus, () => undefined);
    look();
    if (state !== 'queued') return;
    const timer = setInterval(look, LOOK_EVERY);
    return () => clearInterval(timer);
  }, [api, id, awake, state]);

  function tryNow() {
    setRefused('');
    setTurn(turn + 1);
  }

  return { view, status, connection, refused, tryNow };
}

function kept(id: string): View {
  const text = storage.read(`job:${SHAPE}:${id}`);
  return text ? (JSON.parse(text) as View) : NOTHING;
}

function keep(id: string, view: View): void {
  if (!view.seq) return;
  const text = JSON.stringify(view);
  if (text.length <= LARGEST) storage.write(`job:${SHAPE}:${id}`, text);
}
