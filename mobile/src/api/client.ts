/** The only place that talks to the network: the service's own JSON, typed from its OpenAPI. */
import { getRandomBytes } from 'expo-crypto';

import { Refused, Unreachable } from './errors';
import type { components } from './schema';
import { type Connection, follow, type Timers } from './stream';

type Schemas = components['schemas'];
export type { Connection } from './stream';
export type ChangedFile = Schemas['FileDiff'];
export type Diff = Schemas['Diff'];
export type Issue = Schemas['IssueShown'];
export type JobEvent = Schemas['JobEventShown'];
export type Person = Schemas['SessionShown'];
export type Plan = Schemas['PlanShown'];
export type Repository = Schemas['RepoShown'];
export type Status = Schemas['Status'];
export type Wish = Partial<Schemas['AskedPlan']> & Pick<Schemas['AskedPlan'], 'repository' | 'text'>;

const ATTEMPTS = 4; // of a write whose answer got lost, all under one key
const PAUSE = 1_000; // milliseconds between them, and between two looks for a pull request

type Watch = {
  after: () => string;
  onEvents: (events: { seq: string; event: JobEvent }[]) => void;
  onConnection: (connection: Connection) => void;
  signal: AbortSignal;
};

export class Api {
  /** `server` is empty where the page comes from the service itself; `token` is null there, because
   * the browser sends its cookie. */
  constructor(
    readonly server: string,
    private readonly token: string | null,
    private readonly pause: number = PAUSE,
    private readonly timers?: Timers,
  ) {}

  me(): Promise<Person> {
    return this.read('/api/session');
  }

  async signOut(): Promise<void> {
    await this.send('DELETE', '/api/session');
  }

  async repositories(query: string): Promise<Repository[]> {
    const found = await this.read<{ repos: Repository[] }>(`/api/repos${asked(query)}`);
    return found.repos;
  }

  async branches(repository: string, query: string): Promise<string[]> {
    const path = `/api/repos/${repository}/branches${asked(query)}`;
    return (await this.read<{ branches: string[] }>(path)).branches;
  }

  async issues(repository: string, query: string): Promise<Issue[]> {
    const path = `/api/repos/${repository}/issues${asked(query)}`;
    return (await this.read<{ issues: Issue[] }>(path)).issues;
  }

  /** The newest jobs: one's own, or everybody's in a repository. */
  async jobs(repository: string | null): Promise<Status[]> {
    const query = repository ? `?repository=${encodeURIComponent(repository)}` : '';
    return (await this.read<{ jobs: Status[] }>(`/api/jobs${query}`)).jobs;
  }

  status(jobId: string): Promise<Status> {
    return this.read(`/api/agent/status/${encodeURIComponent(jobId)}`);
  }

  diff(jobId: string): Promise<Diff> {
    return this.read(job(jobId, 'diff'));
  }

  /** Tells of each event once, through cut connections and restarts, until `signal` says stop or
   * the job's log ends. Rejects with Refused where the service does not let us see it. */
  watch(jobId: string, { after, onEvents, onConnection, signal }: Watch): Promise<void> {
    const path = job(jobId, 'events');
    return follow({
      after,
      onConnection,
      signal,
      timers: this.timers,
      open: (seen, stop) =>
        this.fetch(path, {
          headers: { Accept: 'text/event-stream', ...(seen ? { 'Last-Event-ID': seen } : {}) },
          signal: stop,
        }),
      onMessages: (messages) =>
        onEvents(
          messages
            .filter(({ event }) => event === 'message')
            .map(({ id, data }) => ({ seq: id, event: JSON.parse(data) as JobEvent })),
        ),
    });
  }

  /** Asks for a plan; the new job's id. */
  askPlan(wish: Wish): Promise<string> {
    return this.command('/api/plans', wish);
  }

  /** Accepts the plan that was seen, named by its digest. */
  execute(jobId: string, digest: string): Promise<string> {
    return this.command('/api/agent/execute', { job_id: jobId, plan_digest: digest });
  }

  /** Asks for another plan in the place of the one that was seen. */
  revise(jobId: string, digest: string, text: string): Promise<string> {
    return this.command(job(jobId, 'revise'), { plan_digest: digest, text });
  }

  /** Words for the agent while it is at work. */
  steer(jobId: string, text: string): Promise<string> {
    return this.command(job(jobId, 'steer'), { text });
  }

  cancel(jobId: string): Promise<string> {
    return this.command(job(jobId, 'cancel'), {});
  }

  /** The same wish again; the new job's id. */
  retry(jobId: string): Promise<string> {
    return this.command(job(jobId, 'retry'), {});
  }

  /** The pull request's address; waits while the worker is at it. */
  async createPullRequest(jobId: string, signal: AbortSignal): Promise<string> {
    for (;;) {
      const made = (await this.write('/api/github/create-pr', {
        job_id: jobId,
      })) as Schemas['PullRequest'];
      if (made.pull_request_url !== null) return made.pull_request_url;
      await sleep(this.pause, signal);
    }
  }

  /** Where this browser is told of what happens, for Web Push. */
  async pushKey(): Promise<string> {
    return (await this.read<{ key: string }>('/api/push/key')).key;
  }

  async subscribe(subscription: PushSubscriptionJSON): Promise<void> {
    const { endpoint, keys } = subscription;
    await this.write('/api/push/subscriptions', { endpoint, keys });
  }

  async unsubscribe(endpoint: string): Promise<void> {
    await this.send('DELETE', '/api/push/subscriptions', { endpoint });
  }

  private async command(path: string, body: unknown): Promise<string> {
    return ((await this.write(path, body)) as Schemas['JobRef']).job_id;
  }

  private async read<T>(path: string): Promise<T> {
    return (await this.send('GET', path)) as T;
  }

  /** A write is repeated under one key when its answer got lost, so that it counts once. */
  private async write(path: string, body: unknown): Promise<unknown> {
    const key = newKey();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.send('POST', path, body, key);
      } catch (error) {
        const passing =
          error instanceof Unreachable || (error instanceof Refused && error.status >= 502);
        if (!passing || attempt === ATTEMPTS) throw error;
        await sleep(this.pause * attempt);
      }
    }
  }

  private async send(method: string, path: string, body?: unknown, key?: string): Promise<unknown> {
    const response = await this.fetch(path, {
      method,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(key ? { 'Idempotency-Key': key } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.status === 204 ? null : response.json();
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    const bearer = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    let response: Response;
    try {
      response = await fetch(this.server + path, {
        ...init,
        headers: { ...init.headers, ...bearer } as Record<string, string>,
      });
    } catch {
      throw new Unreachable();
    }
    if (response.ok) return response;
    throw new Refused(sentence(await response.json().catch(() => null)), response.status);
  }
}

/** Exchanges the code that a browser brought back for a session. */
export async function exchange(
  server: string,
  code: string,
  verifier: string,
): Promise<Schemas['SessionBegun']> {
  const response = await fetch(`${server}/api/session`, {
    method: 'POST',
    headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
    body: JSON.stringify({ code, verifier }),
  }).catch(() => {
    throw new Unreachable();
  });
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(sentence(answer), response.status);
  return answer as Schemas['SessionBegun'];
}

const job = (id: string, what: string): string => `/api/jobs/${encodeURIComponent(id)}/${what}`;

const asked = (query: string): string => (query ? `?q=${encodeURIComponent(query)}` : '');

/** 32 hex digits. A UUID would need https, and people host this at home. */
function newKey(): string {
  return Array.from(getRandomBytes(16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** `detail` of an RFC 9457 problem. */
function sentence(answer: unknown): string {
  if (typeof answer === 'object' && answer !== null && 'detail' in answer) {
    return String(answer.detail);
  }
  return 'The service answered something unexpected. Please try again.';
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
