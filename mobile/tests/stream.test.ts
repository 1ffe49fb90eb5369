import { Api, type Connection, type JobEvent } from '@/api/client';
import { Refused } from '@/api/errors';
import { reader } from '@/api/sse';

import { PLANNED, service, WORKED } from './service';

const QUICK = { silence: 60, pause: 1, longest: 4 };

/** Watches from the beginning; `until` resolves once so many events came. */
function watching(token = 'vcs_maya', timers = QUICK) {
  const events: JobEvent[] = [];
  const connections: Connection[] = [];
  const waiting: [number, () => void][] = [];
  const watch = new AbortController();
  let seq = '';
  const ended = new Api('', token, 1, timers).watch('j1', {
    after: () => seq,
    signal: watch.signal,
    onConnection: (connection) => connections.push(connection),
    onEvents: (came) => {
      for (const each of came) {
        events.push(each.event);
        seq = each.seq;
      }
      for (const [count, resolve] of waiting) if (events.length >= count) resolve();
    },
  });
  const until = (count: number) =>
    new Promise<void>((resolve) => (events.length >= count ? resolve() : waiting.push([count, resolve])));
  return { events, connections, ended, until, stop: () => watch.abort() };
}

test('all events come once and in order, however often the stream is cut', async () => {
  const { fetch, tell, cut, fail } = service();
  globalThis.fetch = fetch;
  const { events, until, stop } = watching();
  const all = [...PLANNED, ...WORKED];
  for (const [place, event] of all.entries()) {
    tell(event);
    if (place % 2) cut();
    if (place % 3 === 0) fail(2);
    await until(place + 1);
  }
  stop();
  expect(events).toEqual(all);
});

test('a stream that fell silent is opened again', async () => {
  const { fetch, tell, watchers } = service();
  globalThis.fetch = fetch;
  const { until, connections, stop } = watching();
  tell(PLANNED[0]!);
  await until(1);
  watchers.clear(); // it stays open, and nothing comes any more
  tell(PLANNED[1]!);
  await until(2);
  stop();
  expect(connections).toContain('lost');
});

test('who may not look is told so and asks no more', async () => {
  globalThis.fetch = service().fetch;
  const { ended } = watching('vcs_nobody');
  await expect(ended).rejects.toThrow(Refused);
  await expect(ended).rejects.toMatchObject({ status: 401 });
});

test('a log that is over is not asked for again', async () => {
  const { fetch, tell, send } = service();
  globalThis.fetch = fetch;
  const { ended, until } = watching();
  tell(PLANNED[0]!);
  await until(1);
  send('event: end\ndata: {}\n\n');
  await ended;
});

test('a stop ends it at once', async () => {
  globalThis.fetch = service().fetch;
  const { ended, stop } = watching();
  stop();
  await ended;
});

test.each([1, 2, 3, 5, 7, 1000])('messages in chunks of %i characters are the same', (size) => {
  const text = ': hi\r\nretry: 1000\r\n\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\nevent: end\ndata:\n\ndata: c\r\r';
  const parse = reader();
  const found = [];
  for (let place = 0; place < text.length; place += size) {
    found.push(...parse(text.slice(place, place + size)));
  }
  found.push(...parse('x'));
  expect(found).toEqual([
    { id: '1', event: 'message', data: 'a\nb' },
    { id: '1', event: 'end', data: '' },
    { id: '1', event: 'message', data: 'c' },
  ]);
});
