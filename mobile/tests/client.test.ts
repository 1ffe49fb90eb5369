import { Api, hasEnded, Refused, type Status, Stopped } from '@/api/client';

import { PULL_REQUEST, service } from './service';

const api = (token = 'ghu_maya') => new Api('', token, 1);
const never = () => new AbortController().signal;
const waits = (status: Status) => status.state === 'awaiting_approval';

test('a wish becomes a plan, and the plan a pull request', async () => {
  globalThis.fetch = service().fetch;
  const seen: string[] = [];
  const job = await api().askPlan({ repository: 'acme/widget', text: 'Fix it' });
  const planned = await api().watch(job, waits, (status) => seen.push(status.state), never());
  await api().execute(job, planned.plan!.digest);
  await api().watch(job, hasEnded, (status) => seen.push(status.state), never());
  expect(seen).toEqual(['queued', 'planning', 'awaiting_approval', 'running', 'succeeded']);
  expect(await api().createPullRequest(job, never())).toBe(PULL_REQUEST);
});

test('a write that is repeated carries the same key', async () => {
  const { fetch, asked, cut } = service();
  globalThis.fetch = fetch;
  cut(1);
  await api().askPlan({ repository: 'acme/widget', text: 'Fix it' });
  expect(asked).toHaveLength(2);
  expect(asked[0]!.key).toBeTruthy();
  expect(asked[1]!.key).toBe(asked[0]!.key);
});

test('a short loss of the connection is outlived', async () => {
  const { fetch, cut } = service();
  globalThis.fetch = fetch;
  cut(3);
  expect((await api().watch('j1', waits, () => {}, never())).state).toBe('awaiting_approval');
});

test('a refusal is the service’s own sentence', async () => {
  globalThis.fetch = service().fetch;
  await expect(api().execute('j1', 'stale')).rejects.toThrow('not the plan that waits');
  const refused = api('ghu_nobody').status('j1');
  await expect(refused).rejects.toThrow(Refused);
  await expect(refused).rejects.toMatchObject({ status: 401 });
});

test('watching ends when nobody looks any more', async () => {
  globalThis.fetch = service().fetch;
  const controller = new AbortController();
  const watched = api().watch('j1', () => false, () => controller.abort(), controller.signal);
  await expect(watched).rejects.toThrow(Stopped);
});
