/** What was asked for, by whom, and where. */
import { Markdown } from '../Markdown';
import type { View } from '../fold';
import { Card, Words } from '../ui';
import { ago } from '../words';

export function Wish({ view }: { view: View }) {
  if (!view.seq) return null;
  const where = view.repository + (view.issue ? `#${view.issue}` : '');
  return (
    <Card>
      <Markdown>{view.text}</Markdown>
      <Words small tone="muted">
        {`${view.askedBy} · ${where}${view.base ? ` · from ${view.base}` : ''} · ${ago(view.askedAt)}`}
      </Words>
    </Card>
  );
}
