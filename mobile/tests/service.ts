/** A service in a few lines, in the place of the network: it answers what the real one would. */
import type { Status } from '@/api/client';

export const PULL_REQUEST = 'https://github.example/acme/widget/pull/8';
const DIGEST = '1a2b3c4d'.repeat(8);

const QUEUED: Status = {
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

const PLANNED: Status = {
  ...QUEUED,
  state: 'awaiting_approval',
  branch: 'vibecode/j1',
  plan: {
    digest: DIGEST,
    title: 'Retry with jitter',
    summary: 'Two clients no longer retry in step.',
    root_cause: '',
    steps: [
      { id: 'a', title: 'Add jitter', intent: '', files: ['client.py'], done_when: '' },
    ],
    evidence: [],
    verification: [],
    risks: [],
    out_of_scope: [],
    questions: [],
  },
};

/** Each look at the job shows the next of these; `end` comes once the plan was accepted. */
export function service(end: Partial<Status> = { state: 'succeeded', summary: 'Done.' }) {
  const asked: { path: string; body: Record<string, unknown>; key: string | null }[] = [];
  let looks: Status[] = [QUEUED, { ...QUEUED, state: 'planning' }, PLANNED];
  let cuts = 0; // connections to break before the next answer
  let opened = 0;

  const answer = (status: number, body: unknown) =>
    ({ ok: status < 400, status, json: async () => body }) as Response;

  async function fetch(url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const path = String(url);
    const headers = new Map(Object.entries(init.headers as Record<string, string>));
    if (headers.get('Authorization') !== 'Bearer ghu_maya') {
      return answer(401, { detail: 'Please sign in again.' });
    }
    if (init.method === 'POST') {
      const body = JSON.parse(String(init.body)) as Record<string, unknown>;
      asked.push({ path, body, key: headers.get('Idempotency-Key') ?? null });
    }
    if (cuts > 0) {
      cuts -= 1;
      throw new TypeError('Network request failed');
    }
    switch (path) {
      case '/api/plans':
        return answer(200, { job_id: 'j1' });
      case '/api/agent/status/j1':
        return answer(200, looks.length > 1 ? looks.shift() : looks[0]);
      case '/api/agent/execute':
        if (asked.at(-1)?.body.plan_digest !== DIGEST) {
          return answer(409, { detail: 'That is not the plan that waits here.' });
        }
        looks = [{ ...PLANNED, state: 'running', step: 1 }, { ...PLANNED, ...end }];
        return answer(200, { job_id: 'j1' });
      case '/api/github/create-pr':
        opened += 1;
        return opened === 1
          ? answer(202, { pull_request_url: null })
          : answer(200, { pull_request_url: PULL_REQUEST });
      default:
        return answer(404, { detail: 'There is nothing at this address.' });
    }
  }
  return { fetch, asked, cut: (times: number) => void (cuts = times) };
}
