/** How a job's state is said. Pure. */
import type { Status } from './api/client';
import { count, type State, type View } from './fold';

export type Tone = 'text' | 'muted' | 'good' | 'bad' | 'warn' | 'accent';

export const SHORT: Record<State, string> = {
  queued: 'Queued',
  planning: 'Planning',
  awaiting_approval: 'Waiting for you',
  running: 'At work',
  publishing: 'Publishing',
  succeeded: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  stopped: 'Stopped at a limit',
};

export const TONE: Record<State, Tone> = {
  queued: 'muted',
  planning: 'accent',
  awaiting_approval: 'warn',
  running: 'accent',
  publishing: 'accent',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'muted',
  stopped: 'warn',
};

export const dollars = (usd: number): string => `$${usd.toFixed(2)}`;

/** A limit, which is mostly a whole number. */
export const limit = (usd: number): string =>
  Number.isInteger(usd) ? `$${usd.toLocaleString('en')}` : dollars(usd);

/** One line that says honestly where the job stands. */
export function whereItStands(view: View, status: Status | null): string {
  if (!view.seq) return 'Looking …';
  if (view.stopping) return 'Stopping …';
  switch (view.state) {
    case 'queued':
      return status?.state === 'queued' && status.queued_behind > 0
        ? `Queued behind ${count(status.queued_behind, 'job')}`
        : 'Queued, a worker takes it in a moment';
    case 'planning':
      return 'Reading the code and planning';
    case 'awaiting_approval':
      return 'The plan waits for you';
    case 'running': {
      const steps = view.plan?.steps ?? [];
      const title = steps[view.step - 1]?.title;
      return title ? `Step ${view.step} of ${steps.length}: ${unquoted(title)}` : 'Getting ready';
    }
    case 'publishing':
      return 'Opening the pull request';
    case 'succeeded':
      return view.pull ? `Done: pull request #${view.pull.number}` : 'Done';
    case 'failed':
      return 'Failed';
    case 'cancelled':
      return 'Cancelled';
    case 'stopped':
      return status
        ? `Stopped at ${dollars(view.usd)} of ${limit(status.ceiling_usd)}`
        : `Stopped at ${dollars(view.usd)}`;
  }
}

/** What the composer is for just now. */
export type Purpose = 'revise' | 'steer' | 'follow-up';

export function purposeOf(state: State): Purpose {
  switch (state) {
    case 'awaiting_approval':
      return 'revise';
    case 'queued':
    case 'planning':
    case 'running':
    case 'publishing':
      return 'steer';
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'stopped':
      return 'follow-up';
  }
}

/** Titles are plain text in which code may be marked. */
export const unquoted = (text: string): string => text.replaceAll('`', '');

/** "5 min ago", for a moment in seconds since the epoch. */
export function ago(at: number, now: number = Date.now() / 1000): string {
  const minutes = Math.max(0, Math.round((now - at) / 60));
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 24) return `${count(hours, 'hour')} ago`;
  return `${count(Math.round(hours / 24), 'day')} ago`;
}
