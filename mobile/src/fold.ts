/** A job as the phone shows it: the fold of its events. Pure; reconnecting, a second device and a
 * cold start are one code path, because an event that was seen changes nothing. */
import type { JobEvent, Plan, Status } from './api/client';

export type State = Status['state'];
export type Commit = Extract<JobEvent, { type: 'step_committed' }>;

/** A line of the log. What the model says arrives in pieces and is one entry. */
export type Entry =
  | { kind: 'said' | 'noted' | 'told' | 'heard' | 'happened'; at: number; text: string }
  | { kind: 'ran'; at: number; command: string; exit: number | null; seconds: number; tail: string }
  | { kind: 'committed'; at: number; commit: Commit };

export type View = {
  /** Id of the last event that is in here; empty before the first. */
  seq: string;
  state: State;
  repository: string;
  issue: number | null;
  text: string;
  askedBy: string;
  askedAt: number;
  base: string | null;
  branch: string | null;
  plan: Plan | null;
  /** What the planner has written since it began, Markdown. */
  prose: string;
  /** Whether a worker that takes the job works, and does not plan. */
  mayWork: boolean;
  /** The step at work, from 1; 0 before the first. */
  step: number;
  commits: Commit[];
  skipped: Record<number, string>;
  note: string;
  log: Entry[];
  pull: { number: number; url: string } | null;
  usd: number;
  stopping: boolean;
  rescued: boolean;
  end: { outcome: State; summary: string; notDone: string[] } | null;
};

export const NOTHING: View = {
  seq: '',
  state: 'queued',
  repository: '',
  issue: null,
  text: '',
  askedBy: '',
  askedAt: 0,
  base: null,
  branch: null,
  plan: null,
  prose: '',
  mayWork: false,
  step: 0,
  commits: [],
  skipped: {},
  note: '',
  log: [],
  pull: null,
  usd: 0,
  stopping: false,
  rescued: false,
  end: null,
};

export const hasEnded = (state: State): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'stopped';

/** The view after an event; the same view where the event was seen before. Ids grow as text. */
export function fold(view: View, seq: string, event: JobEvent): View {
  // The first event of all: the service lost its log and tells a new one.
  if (event.type === 'received') return { ...apply(NOTHING, event), seq };
  return seq > view.seq ? { ...apply(view, event), seq } : view;
}

function apply(view: View, event: JobEvent): View {
  const { at } = event;
  switch (event.type) {
    case 'received':
      return {
        ...view,
        repository: event.repository,
        issue: event.issue,
        text: event.text,
        askedBy: event.asked_by,
        askedAt: at,
        base: event.base,
      };
    case 'claimed':
      return { ...view, state: view.mayWork ? 'running' : 'planning' };
    case 'cloned':
      return happened(
        { ...view, base: event.base, branch: event.branch },
        at,
        `Read ${count(event.files, 'file')} of ${event.base} at ${event.base_sha.slice(0, 7)}`,
      );
    case 'planned':
      return happened(
        {
          ...view,
          plan: event.plan,
          state: event.waits ? 'awaiting_approval' : 'running',
          mayWork: !event.waits,
          note: '',
        },
        at,
        `Planned ${count(event.plan.steps.length, 'step')}`,
      );
    case 'approved':
      return happened({ ...view, state: 'queued', mayWork: true }, at, `${event.by} accepted the plan`);
    case 'revised':
      return logged(
        { ...view, state: 'queued', mayWork: false, plan: null, prose: '', note: '' },
        { kind: 'told', at, text: event.text },
      );
    case 'steered':
      return logged(view, { kind: 'told', at, text: event.text });
    case 'heard':
      return logged(view, { kind: 'heard', at, text: event.text || 'Heard.' });
    case 'step_began':
      return { ...view, step: event.number, note: '' };
    case 'noted': {
      const noted = { ...view, note: event.text };
      const last = view.log.at(-1);
      // A command is in the log already, with how it went.
      if (last?.kind === 'ran' && event.text.startsWith('run_command ')) return noted;
      return logged(noted, { kind: 'noted', at, text: event.text });
    }
    case 'said':
      return said(view, at, event.text);
    case 'command_ran':
      return logged(view, {
        kind: 'ran',
        at,
        command: event.command,
        exit: event.exit_code,
        seconds: event.seconds,
        tail: event.output_tail,
      });
    case 'step_committed':
      return logged(
        { ...view, commits: [...view.commits, event], note: '' },
        { kind: 'committed', at, commit: event },
      );
    case 'step_skipped':
      return happened(
        { ...view, skipped: { ...view.skipped, [event.number]: event.why }, note: '' },
        at,
        `Step ${event.number} changed nothing: ${event.why}`,
      );
    case 'pull_opened':
      return happened(
        { ...view, pull: { number: event.number, url: event.url } },
        at,
        `Opened pull request #${event.number}`,
      );
    case 'charged':
      return { ...view, usd: event.usd_total };
    case 'rescued':
      return happened({ ...view, rescued: true }, at, 'GitHub did not take a commit; it is kept');
    case 'cancel_asked':
      return happened({ ...view, stopping: true }, at, `${event.by} asked to stop`);
    case 'finished':
      return {
        ...view,
        state: event.outcome,
        stopping: false,
        note: '',
        end: { outcome: event.outcome, summary: event.summary, notDone: event.not_done },
      };
    default:
      // A new type of event fails the compiler here; an older app passes over it.
      event satisfies never;
      return view;
  }
}

const logged = (view: View, entry: Entry): View => ({ ...view, log: [...view.log, entry] });

const happened = (view: View, at: number, text: string): View =>
  logged(view, { kind: 'happened', at, text });

function said(view: View, at: number, text: string): View {
  const last = view.log.at(-1);
  const goesOn = last?.kind === 'said';
  const log: Entry[] = goesOn
    ? [...view.log.slice(0, -1), { ...last, text: last.text + text }]
    : [...view.log, { kind: 'said', at, text }];
  if (view.state !== 'planning') return { ...view, log };
  const gap = view.prose && !goesOn ? '\n\n' : '';
  return { ...view, log, prose: view.prose + gap + text };
}

export const count = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`;
