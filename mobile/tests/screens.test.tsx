import { act, fireEvent, screen, waitFor } from '@testing-library/react-native';
import * as SecureStore from 'expo-secure-store';
import { renderRouter } from 'expo-router/testing-library';

import RootLayout from '../app/_layout';
import TabsLayout from '../app/(tabs)/_layout';
import NewScreen from '../app/(tabs)/index';
import JobsScreen from '../app/(tabs)/jobs';
import YouScreen from '../app/(tabs)/you';
import JobScreen from '../app/job/[id]';
import * as storage from '@/storage';
import { PLAN, PLANNED, PULL_REQUEST, service, WORKED } from './service';

const patient = { timeout: 20_000 };

beforeEach(() => storage.forgetAll());

/** The app on a phone that is signed in, and the service behind it. */
async function start(initialUrl = '/') {
  await SecureStore.setItemAsync(
    'vibecoder.sign-in',
    JSON.stringify({ server: 'https://service.example', token: 'vcs_maya' }),
  );
  const stand = service();
  globalThis.fetch = stand.fetch;
  renderRouter(
    {
      _layout: RootLayout,
      '(tabs)/_layout': TabsLayout,
      '(tabs)/index': NewScreen,
      '(tabs)/jobs': JobsScreen,
      '(tabs)/you': YouScreen,
      'job/[id]': JobScreen,
    },
    { initialUrl },
  );
  return {
    ...stand,
    tell: (...events: Parameters<typeof stand.tell>) => act(async () => stand.tell(...events)),
  };
}

test('a wish leads to a plan, the plan to its pull request', async () => {
  const { tell, asked } = await start();
  fireEvent.press(await screen.findByRole('button', { name: 'Repository: Choose …' }, patient));
  fireEvent.press(await screen.findByRole('button', { name: 'acme/widget' }, patient));
  fireEvent.changeText(screen.getByLabelText('Your wish'), 'Fix it');
  fireEvent.press(screen.getByRole('button', { name: 'Make a plan' }));
  await waitFor(() => expect(asked).toHaveLength(1));
  await tell(...PLANNED);
  fireEvent.press(await screen.findByRole('button', { name: 'Accept Plan' }, patient));
  await waitFor(() => expect(asked).toHaveLength(2));
  await tell(...WORKED);
  expect(await screen.findByText(PULL_REQUEST, {}, patient)).toBeTruthy();
  expect(screen.getByText('Done: pull request #8')).toBeTruthy();
  expect(screen.queryByRole('alert')).toBeNull();
  expect(asked.map(({ path, body }) => [path, body])).toEqual([
    ['/api/plans', { repository: 'acme/widget', text: 'Fix it' }],
    ['/api/agent/execute', { job_id: 'j1', plan_digest: PLAN.digest }],
  ]);
});

test('the one composer changes the plan, then steers, then follows up', async () => {
  const { tell, asked } = await start('/job/j1');
  const send = async (label: string, button: string, words: string) => {
    fireEvent.changeText(await screen.findByLabelText(label, {}, patient), words);
    const before = asked.length;
    fireEvent.press(screen.getByRole('button', { name: button }));
    await waitFor(() => expect(asked).toHaveLength(before + 1));
  };
  await tell(...PLANNED);
  await send('Change the plan', 'Ask for changes', 'Smaller');
  await tell(...WORKED.slice(0, 3));
  await send('Tell the agent', 'Send to the agent', 'Use random.uniform');
  await tell(...WORKED.slice(3));
  await send('Follow up', 'Ask for a plan', 'Now the docs');
  expect(asked.map(({ path, body }) => [path, body])).toEqual([
    ['/api/jobs/j1/revise', { plan_digest: PLAN.digest, text: 'Smaller' }],
    ['/api/jobs/j1/steer', { text: 'Use random.uniform' }],
    ['/api/plans', { repository: 'acme/widget', text: 'Now the docs', base: 'vibecode/j1' }],
  ]);
});

test('a job that failed says why and can be tried again', async () => {
  const { tell, asked } = await start('/job/j1');
  await tell(...PLANNED, {
    type: 'finished',
    at: 0,
    outcome: 'failed',
    summary: 'The tests of step 1 did not pass.',
    not_done: [],
  });
  expect(await screen.findByText('The tests of step 1 did not pass.', {}, patient)).toBeTruthy();
  fireEvent.press(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(asked[0]?.path).toBe('/api/jobs/j1/retry'));
});

test('a session that ended leads to sign-in', async () => {
  const { tell, signOut, cut } = await start('/job/j1');
  await tell(...PLANNED);
  await screen.findByRole('button', { name: 'Accept Plan' }, patient);
  signOut();
  await act(async () => cut());
  expect(await screen.findByRole('button', { name: 'Sign in with GitHub' }, patient)).toBeTruthy();
});
