import { fold, NOTHING, type View } from '@/fold';

import { at0, idOf, PLAN, PLANNED, PULL_REQUEST, RECEIVED, WORKED } from './service';

const ALL = [...PLANNED, ...WORKED];
const seen = (events = ALL, from: View = NOTHING, first = 0) =>
  events.reduce((view, event, place) => fold(view, idOf(first + place), event), from);

test('a job is told from its first event to its pull request', () => {
  const states: string[] = [];
  let view = NOTHING;
  ALL.forEach((event, place) => {
    view = fold(view, idOf(place), event);
    if (states.at(-1) !== view.state) states.push(view.state);
  });
  expect(states).toEqual([
    'queued', 'planning', 'awaiting_approval', 'queued', 'running', 'succeeded',
  ]);
  expect(view).toMatchObject({ plan: PLAN, usd: 0.5, pull: { number: 8, url: PULL_REQUEST } });
  expect(view.commits.map(({ subject }) => subject)).toEqual(['Add jitter']);
});

test('an event that was seen changes nothing, wherever the stream was cut', () => {
  const whole = seen();
  for (let cut = 1; cut < ALL.length; cut += 1) {
    const before = seen(ALL.slice(0, cut));
    const overlap = Math.max(1, cut - 3); // what comes twice
    expect(seen(ALL.slice(overlap), before, overlap)).toEqual(whole);
  }
});

test('a log that begins anew is told anew', () => {
  const view = seen();
  const again = fold(view, '000001', { ...RECEIVED, text: 'Rebuilt' } as typeof RECEIVED);
  expect(again).toEqual({ ...NOTHING, ...again });
  expect(again).toMatchObject({ text: 'Rebuilt', commits: [], state: 'queued' });
});

test('a plan that is to be changed gives way to the next one', () => {
  const revised = seen([...PLANNED, at0({ type: 'revised', by: 'maya', text: 'Smaller' })]);
  expect(revised).toMatchObject({ state: 'queued', plan: null, prose: '' });
  const taken = seen([at0({ type: 'claimed' })], revised, PLANNED.length + 1);
  expect(taken.state).toBe('planning');
});

test('what the model says in pieces is one entry', () => {
  const view = seen([
    RECEIVED,
    at0({ type: 'claimed' }),
    at0({ type: 'said', text: 'I look ' }),
    at0({ type: 'said', text: 'around.' }),
    at0({ type: 'noted', text: 'read_file a.py' }),
    at0({ type: 'said', text: 'Found.' }),
  ]);
  expect(view.log.map((entry) => 'text' in entry && entry.text)).toEqual([
    'I look around.', 'read_file a.py', 'Found.',
  ]);
  expect(view.prose).toBe('I look around.\n\nFound.');
});

test('a worker that takes over goes on where the job stood', () => {
  const running = seen([...PLANNED, ...WORKED.slice(0, 3)]);
  expect(seen([at0({ type: 'claimed' })], running, 50).state).toBe('running');
});

test('an app of yesterday passes over an event of tomorrow', () => {
  const view = seen();
  const event = { type: 'sang', at: 1 } as unknown as typeof RECEIVED;
  expect(fold(view, '999999', event)).toEqual({ ...view, seq: '999999' });
});
