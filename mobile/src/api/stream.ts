/** A job's events as they happen, however often the connection breaks. */
import { Refused } from './errors';
import { type Message, reader } from './sse';

export type Connection = 'connecting' | 'live' | 'lost';

export type Timers = {
  /** Milliseconds without a byte after which a connection counts as dead. */
  silence: number;
  /** The first and the longest pause before the next attempt, milliseconds. */
  pause: number;
  longest: number;
};

export const TIMERS: Timers = { silence: 45_000, pause: 500, longest: 30_000 };

type Follow = {
  /** Opens the stream after an event; rejects with Refused, or anything else where it broke. */
  open: (after: string, signal: AbortSignal) => Promise<Response>;
  /** The id of the last event that was seen. */
  after: () => string;
  /** All messages that came in one piece; throws nothing. */
  onMessages: (messages: Message[]) => void;
  onConnection: (connection: Connection) => void;
  signal: AbortSignal;
  timers?: Timers;
};

/** Follows until `signal` says stop or the service says that nothing more will come. Rejects with
 * Refused where the service does not let us. */
export async function follow(job: Follow): Promise<void> {
  const { signal, onConnection, timers = TIMERS } = job;
  let failures = 0;
  while (!signal.aborted) {
    onConnection(failures === 0 ? 'connecting' : 'lost');
    try {
      const over = await read(job, timers, () => {
        failures = 0;
        onConnection('live');
      });
      if (over) return;
    } catch (error) {
      if (signal.aborted) return;
      // 4xx: asking again gives the same answer. 429 is the exception.
      if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
    }
    if (signal.aborted) return;
    failures += 1;
    onConnection('lost');
    const most = Math.min(timers.longest, timers.pause * 2 ** (failures - 1));
    await pause(most * (0.5 + Math.random() / 2), signal); // not all phones at once
  }
}

/** One connection, until it breaks (rejects, or false) or the log is over (true). */
async function read(job: Follow, timers: Timers, onOpen: () => void): Promise<boolean> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  job.signal.addEventListener('abort', stop);
  let watchdog = setTimeout(stop, timers.silence);
  try {
    const response = await job.open(job.after(), connection.signal);
    if (!response.body) return false;
    onOpen();
    const chunks = response.body.getReader();
    const decoder = new TextDecoder();
    const parse = reader();
    for (;;) {
      const { done, value } = await chunks.read();
      if (done || connection.signal.aborted) return false;
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, timers.silence);
      const messages = parse(decoder.decode(value, { stream: true }));
      if (messages.length) job.onMessages(messages);
      if (messages.some(({ event }) => event === 'end')) return true;
    }
  } finally {
    clearTimeout(watchdog);
    job.signal.removeEventListener('abort', stop);
    connection.abort();
  }
}

/** Waits, or less where nobody looks any more or the network is back. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(go, milliseconds);
    function go() {
      clearTimeout(timer);
      signal.removeEventListener('abort', go);
      globalThis.removeEventListener?.('online', go);
      resolve();
    }
    signal.addEventListener('abort', go);
    globalThis.addEventListener?.('online', go); // browsers only
  });
}
