/** The only place that talks to the network: the service's own JSON, typed from its OpenAPI. */
import { getRandomBytes } from 'expo-crypto';

import type { components } from './schema';

type Schemas = components['schemas'];
export type Status = Schemas['Status'];
export type Plan = Schemas['PlanShown'];
export type Wish = Schemas['AskedPlan'];

const ENDED: readonly Status['state'][] = ['succeeded', 'failed', 'cancelled', 'stopped'];
const POLL = 1_000; // milliseconds between two looks at a job
const PATIENCE = 60_000; // milliseconds that a lost connection may last

export const hasEnded = (status: Status): boolean => ENDED.includes(status.state);

/** The service refused; the message is its own sentence for the person. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** The service can't be reached. */
export class Unreachable extends Error {}

/** Nobody looks any more. */
export class Stopped extends Error {}

type Answer = { status: number; body: unknown };

export class Api {
  /** `server` is empty where the page comes from the service itself. */
  constructor(
    private readonly server: string,
    private readonly token: string,
    private readonly poll: number = POLL,
  ) {}

  /** Asks for a plan; throws Refused with a sentence where that can't be. */
  async askPlan(wish: Partial<Wish> & Pick<Wish, 'repository' | 'text'>): Promise<string> {
    const { body } = await this.write('/api/plans', wish);
    return (body as Schemas['JobRef']).job_id;
  }

  /** Accepts the plan that was seen, named by its digest. */
  async execute(jobId: string, digest: string): Promise<string> {
    const { body } = await this.write('/api/agent/execute', { job_id: jobId, plan_digest: digest });
    return (body as Schemas['JobRef']).job_id;
  }

  async status(jobId: string): Promise<Status> {
    const { body } = await this.send('GET', `/api/agent/status/${encodeURIComponent(jobId)}`);
    return body as Status;
  }

  /** The pull request's address; waits while the worker is at it. */
  async createPullRequest(jobId: string, signal: AbortSignal): Promise<string> {
    for (;;) {
      const { body } = await this.write('/api/github/create-pr', { job_id: jobId });
      const url = (body as Schemas['PullRequest']).pull_request_url;
      if (url !== null) return url;
      await pause(this.poll, signal);
    }
  }

  /** Tells `seen` where the job stands, again and again, until `enough`. Outlives short losses of
   * the connection; throws Unreachable when they last. */
  async watch(
    jobId: string,
    enough: (status: Status) => boolean,
    seen: (status: Status) => void,
    signal: AbortSignal,
  ): Promise<Status> {
    let answered = Date.now();
    for (;;) {
      try {
        const status = await this.status(jobId);
        if (signal.aborted) throw new Stopped();
        answered = Date.now();
        seen(status);
        if (enough(status)) return status;
      } catch (error) {
        const passing =
          error instanceof Unreachable || (error instanceof Refused && error.status >= 500);
        if (!passing || Date.now() - answered > PATIENCE) throw error;
      }
      await pause(this.poll, signal);
    }
  }

  /** A write is repeated under one key when the connection breaks, so that it counts once. */
  private async write(path: string, body: unknown): Promise<Answer> {
    const key = newKey();
    try {
      return await this.send('POST', path, body, key);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      return await this.send('POST', path, body, key);
    }
  }

  private async send(
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    key?: string,
  ): Promise<Answer> {
    let response: Response;
    try {
      response = await fetch(this.server + path, {
        method,
        headers: {
          Accept: 'application/json',
          Authorization: `Bearer ${this.token}`,
          ...(key ? { 'Content-Type': 'application/json', 'Idempotency-Key': key } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new Unreachable('The service can’t be reached. Check the connection and try again.');
    }
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw new Refused(sentence(answer), response.status);
    return { status: response.status, body: answer };
  }
}

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

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new Stopped());
    });
  });
}
