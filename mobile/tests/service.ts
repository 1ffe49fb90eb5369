/** A service in a few lines, in the place of the network: it answers what the real one would. */
import type { JobEvent, Plan, Status } from '@/api/client';

export const PULL_REQUEST = 'https://github.example/acme/widget/pull/8';

export const PLAN: Plan = {
  digest: '1a2b3c4d'.repeat(8),
  title: 'Retry with jitter',
  summary: 'Two clients no longer retry in step.',
  root_cause: '',
  steps: [
    { id: 'a', title: 'Add jitter', intent: 'A random delay.', files: ['client.py'], done_when: '' },
  ],
  evidence: [],
  verification: [],
  risks: [],
  out_of_scope: [],
  questions: [],
};

const STATUS: Status = {
  job_id: 'j1',
  state: 'queued',
  branch: null,
  pull_request_url: null,
  error: null,
  repository: 'acme/widget',
  base: null,
  issue: null,
  text: 'Fix it',
  asked_by: 'maya',
  asked_at: 0,
  step: 0,
  steps_done: 0,
  note: '',
  summary: null,
  patch: null,
  plan: null,
  commits: [],
  usd: 0,
  ceiling_usd: 5,
  queued_behind: 0,
};

/** An event at a moment that does not matter. */
export const at0 = (event: Unmoved): JobEvent => ({ ...event, at: 0 }) as JobEvent;
type Unmoved = JobEvent extends infer E ? (E extends JobEvent ? Omit<E, 'at'> : never) : never;

export const RECEIVED = at0({
  type: 'received',
  repository: 'acme/widget',
  issue: null,
  text: 'Fix it',
  asked_by: 'maya',
  base: null,
});
export const PLANNED = [
  RECEIVED,
  at0({ type: 'claimed' }),
  at0({ type: 'cloned', base: 'main', base_sha: 'ab'.repeat(20), branch: 'vibecode/j1', files: 3 }),
  at0({ type: 'said', text: 'I look at the client.' }),
  at0({ type: 'planned', plan: PLAN, waits: true }),
];
export const WORKED = [
  at0({ type: 'approved', by: 'maya' }),
  at0({ type: 'claimed' }),
  at0({ type: 'step_began', number: 1 }),
  at0({
    type: 'step_committed',
    number: 1,
    sha: 'cd'.repeat(20),
    subject: 'Add jitter',
    files: ['client.py'],
    added: 2,
    deleted: 1,
    url: 'https://github.example/acme/widget/commit/cd',
  }),
  at0({ type: 'pull_opened', number: 8, url: PULL_REQUEST }),
  at0({ type: 'charged', usd: 0.5, usd_total: 0.5 }),
  at0({ type: 'finished', outcome: 'succeeded', summary: 'Done.', not_done: [] }),
];

type Asked = { method: string; path: string; body: Record<string, unknown>; key: string | null };
type Watcher = { send: (text: string) => void; cut: () => void };

export const idOf = (place: number): string => String(place + 1).padStart(6, '0');

export function service() {
  const asked: Asked[] = [];
  const log: JobEvent[] = [];
  const watchers = new Set<Watcher>();
  let cuts = 0; // connections to break before the next answer
  let signedIn = true;

  const answer = (status: number, body: unknown) =>
    ({ ok: status < 400, status, json: async () => body }) as Response;

  const message = (place: number) => `id: ${idOf(place)}\r\ndata: ${JSON.stringify(log[place])}\r\n\r\n`;

  function stream(after: string, signal: AbortSignal): Response {
    const waiting: ((chunk: { done: boolean; value?: Uint8Array }) => void)[] = [];
    const chunks: { done: boolean; value?: Uint8Array }[] = [];
    const give = (chunk: { done: boolean; value?: Uint8Array }) => {
      const next = waiting.shift();
      if (next) next(chunk);
      else chunks.push(chunk);
    };
    const watcher: Watcher = {
      send: (text) => give({ done: false, value: new TextEncoder().encode(text) }),
      cut: () => {
        watchers.delete(watcher);
        give({ done: true });
      },
    };
    watchers.add(watcher);
    signal.addEventListener('abort', watcher.cut);
    watcher.send(': hello\r\n\r\n');
    log.forEach((_, place) => idOf(place) > after && watcher.send(message(place)));
    const read = () =>
      chunks.length
        ? Promise.resolve(chunks.shift()!)
        : new Promise((resolve) => waiting.push(resolve as never));
    return { ok: true, status: 200, body: { getReader: () => ({ read }) } } as unknown as Response;
  }

  async function fetch(url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const path = String(url).replace('https://service.example', '');
    const headers = new Map(Object.entries((init.headers ?? {}) as Record<string, string>));
    if (init.method && init.method !== 'GET') {
      asked.push({
        method: init.method,
        path,
        body: JSON.parse(String(init.body ?? '{}')) as Record<string, unknown>,
        key: headers.get('Idempotency-Key') ?? null,
      });
    }
    if (cuts > 0) {
      cuts -= 1;
      throw new TypeError('Network request failed');
    }
    if (!signedIn || headers.get('Authorization') !== 'Bearer vcs_maya') {
      return answer(401, { detail: 'Please sign in again.' });
    }
    if (path.endsWith('/events')) return stream(headers.get('Last-Event-ID') ?? '', init.signal!);
    if (path.startsWith('/api/agent/status/')) return answer(200, { ...STATUS });
    if (path.startsWith('/api/repos/') && path.includes('/branches')) {
      return answer(200, { branches: ['main', 'next'] });
    }
    if (path.startsWith('/api/repos')) {
      return answer(200, {
        repos: [
          {
            full_name: 'acme/widget',
            private: false,
            default_branch: 'main',
            push: true,
            description: '',
          },
        ],
      });
    }
    switch (path) {
      case '/api/session':
        return answer(200, { login: 'maya', avatar_url: null });
      case '/api/jobs':
        return answer(200, { jobs: [] });
      case '/api/plans':
        return answer(200, { job_id: 'j1' });
      case '/api/agent/execute':
        return asked.at(-1)?.body.plan_digest === PLAN.digest
          ? answer(200, { job_id: 'j1' })
          : answer(409, { detail: 'That is not the plan that waits here.' });
      case '/api/jobs/j1/revise':
      case '/api/jobs/j1/steer':
      case '/api/jobs/j1/cancel':
        return answer(200, { job_id: 'j1' });
      case '/api/jobs/j1/retry':
        return answer(200, { job_id: 'j2' });
      default:
        return answer(404, { detail: 'There is nothing at this address.' });
    }
  }

  return {
    fetch,
    asked,
    watchers,
    /** What happens to the job; whoever watches is told. */
    tell(...events: JobEvent[]) {
      for (const event of events) {
        const place = log.push(event) - 1;
        for (const watcher of watchers) watcher.send(message(place));
      }
    },
    /** Raw bytes for whoever watches. */
    send: (text: string) => watchers.forEach((watcher) => watcher.send(text)),
    /** Breaks all open streams. */
    cut: () => [...watchers].forEach((watcher) => watcher.cut()),
    /** Breaks the next requests. */
    fail: (times: number) => void (cuts = times),
    signOut: () => void (signedIn = false),
  };
}
