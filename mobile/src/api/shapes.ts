/** What the service tells, until its OpenAPI document has these. */
import type { components } from './schema';

type Schemas = components['schemas'];
export type Plan = Schemas['PlanShown'];
export type Status = Schemas['Status'] & {
  usd: number;
  ceiling_usd: number;
  base: string | null;
  queued_behind: number;
};

type Event =
  | { type: 'received'; repository: string; issue: number | null; text: string; asked_by: string; base: string | null }
  | { type: 'claimed' }
  | { type: 'cloned'; base: string; base_sha: string; branch: string; files: number }
  | { type: 'planned'; plan: Plan; waits: boolean }
  | { type: 'approved'; by: string }
  | { type: 'revised'; by: string; text: string }
  | { type: 'steered'; by: string; text: string }
  | { type: 'heard'; text: string | null }
  | { type: 'step_began'; number: number }
  | { type: 'noted'; text: string }
  | { type: 'said'; text: string }
  | { type: 'command_ran'; run_id: string; command: string; exit_code: number | null; seconds: number; output_tail: string }
  | { type: 'step_committed'; number: number; sha: string; subject: string; files: string[]; added: number; deleted: number; url: string }
  | { type: 'step_skipped'; number: number; why: string }
  | { type: 'pull_opened'; number: number; url: string }
  | { type: 'charged'; usd: number; usd_total: number }
  | { type: 'rescued' }
  | { type: 'cancel_asked'; by: string }
  | { type: 'finished'; outcome: 'succeeded' | 'failed' | 'cancelled' | 'stopped'; summary: string; not_done: string[] };
export type JobEvent = Event & { at: number };

export type Repository = { full_name: string; private: boolean; default_branch: string; push: boolean; description: string | null };
export type Issue = { number: number; title: string; labels: string[]; updated_at: string };
export type ChangedFile = { path: string; previous_path: string | null; status: string; added: number; deleted: number; patch: string | null };
export type Diff = { base: string; head: string; truncated: boolean; files: ChangedFile[] };
export type Person = { login: string; avatar_url: string | null };
