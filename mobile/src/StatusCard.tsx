/** Where the job stands, and the pull request once there is one. */
import type { Status } from './api/client';
import { Badge, Card, Code, LinkButton, Problem, Prose, Words } from './ui';

const SAID: Record<Status['state'], string> = {
  queued: 'Waiting for a worker',
  planning: 'Reading the code',
  awaiting_approval: 'The plan waits for you',
  running: 'At work',
  publishing: 'Opening the pull request',
  succeeded: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
  stopped: 'Stopped at a limit',
};

const TONE = {
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'muted',
  stopped: 'warn',
  awaiting_approval: 'warn',
} as const;

type Props = { status: Status; pullRequest: string | null };

export function StatusCard({ status, pullRequest }: Props) {
  const steps = status.plan?.steps.length ?? 0;
  const tone = status.state in TONE ? TONE[status.state as keyof typeof TONE] : 'muted';
  return (
    <Card>
      <Badge tone={tone}>{SAID[status.state]}</Badge>
      <Words>
        {status.repository}
        {status.issue ? `#${status.issue}` : ''}
      </Words>
      <Prose tone="muted">{status.text}</Prose>
      {status.state === 'running' && status.step > 0 ? (
        <Words>
          Step {status.step} of {steps}
        </Words>
      ) : null}
      {status.state === 'running' && status.note ? (
        <Words tone="muted">{status.note}</Words>
      ) : null}
      {status.branch ? <Code>{status.branch}</Code> : null}
      {status.error ? <Problem>{status.error}</Problem> : null}
      {status.summary && !status.error ? <Prose>{status.summary}</Prose> : null}
      {pullRequest ? (
        <>
          <Code>{pullRequest}</Code>
          <LinkButton label="Open pull request" url={pullRequest} />
        </>
      ) : null}
    </Card>
  );
}
