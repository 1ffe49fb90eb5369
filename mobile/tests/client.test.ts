import { Api } from '@/api/client';
import { Refused } from '@/api/errors';

import { PLAN, service } from './service';

const api = (token = 'vcs_maya') => new Api('', token, 1);

test('a write that is repeated carries the same key', async () => {
  const { fetch, asked, fail } = service();
  globalThis.fetch = fetch;
  fail(2);
  await api().askPlan({ repository: 'acme/widget', text: 'Fix it' });
  expect(asked).toHaveLength(3);
  expect(new Set(asked.map(({ key }) => key)).size).toBe(1);
  expect(asked[0]!.key).toMatch(/^[0-9a-f]{32}$/);
});

test('two writes carry two keys', async () => {
  const { fetch, asked } = service();
  globalThis.fetch = fetch;
  await api().execute('j1', PLAN.digest);
  await api().execute('j1', PLAN.digest);
  expect(asked[0]!.key).not.toBe(asked[1]!.key);
});

test('a service that stays away is said to be away', async () => {
  const { fetch, fail } = service();
  globalThis.fetch = fetch;
  fail(100);
  await expect(api().steer('j1', 'Hello')).rejects.toThrow('can’t be reached');
});

test('a refusal is the service’s own sentence', async () => {
  globalThis.fetch = service().fetch;
  await expect(api().execute('j1', 'stale')).rejects.toThrow('not the plan that waits');
  const refused = api('vcs_nobody').status('j1');
  await expect(refused).rejects.toThrow(Refused);
  await expect(refused).rejects.toMatchObject({ status: 401 });
});
