import { render, screen } from '@testing-library/react-native';

import { linesOf } from '@/diff';
import { NOTHING } from '@/fold';
import { Markdown } from '@/Markdown';
import { ago, whereItStands } from '@/words';

import { PLAN } from './service';

test('a patch is read line by line, with the numbers of both sides', () => {
  const lines = linesOf('@@ -3,3 +3,3 @@ def f():\n a\n-b\n+c\n d\n\\ No newline at end of file');
  expect(lines.map(({ kind, number, text }) => [kind, number, text])).toEqual([
    ['hunk', null, '@@ -3,3 +3,3 @@ def f():'],
    ['same', 3, 'a'],
    ['deleted', 4, 'b'],
    ['added', 4, 'c'],
    ['same', 5, 'd'],
    ['note', null, 'No newline at end of file'],
  ]);
});

test('Markdown shows HTML as text, fetches no image and follows only web addresses', () => {
  render(
    <Markdown>
      {'# Hi\n\n<script>alert(1)</script>\n\nsee ![a cat](https://evil.example/cat.png), ' +
        '[this](javascript:alert(1)) and **`code`**\n\n- one\n- [x] two\n\n1. first\n\n```py\nx = 1\n```'}
    </Markdown>,
  );
  expect(screen.getByText('<script>alert(1)</script>')).toBeTruthy();
  expect(screen.getByText(/\[image: a cat\]/)).toBeTruthy();
  expect(screen.getByText(/\[this\]\(javascript:alert\(1\)\)/)).toBeTruthy();
  expect(screen.getByRole('heading', { name: 'Hi' })).toBeTruthy();
  expect(screen.getByText('x = 1')).toBeTruthy();
  expect(screen.queryByRole('link')).toBeNull();
});

test('the states are said honestly', () => {
  const view = { ...NOTHING, seq: '1' };
  const status = { state: 'queued', queued_behind: 2, ceiling_usd: 2 } as never;
  expect(whereItStands(NOTHING, null)).toBe('Looking …');
  expect(whereItStands(view, status)).toBe('Queued behind 2 jobs');
  expect(whereItStands({ ...view, state: 'awaiting_approval' }, null)).toBe('The plan waits for you');
  expect(whereItStands({ ...view, state: 'running', step: 1, plan: PLAN }, null)).toBe(
    'Step 1 of 1: Add jitter',
  );
  expect(whereItStands({ ...view, state: 'stopped', usd: 1.96 }, status)).toBe(
    'Stopped at $1.96 of $2',
  );
  expect([ago(100, 110), ago(0, 300), ago(0, 7200), ago(0, 86400)]).toEqual([
    'just now', '5 min ago', '2 hours ago', '1 day ago',
  ]);
});
