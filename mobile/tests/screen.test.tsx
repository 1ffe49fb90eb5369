import { fireEvent, screen, waitFor } from '@testing-library/react-native';
import { renderRouter } from 'expo-router/testing-library';

import RootLayout from '../app/_layout';
import TabsLayout from '../app/(tabs)/_layout';
import Screen from '../app/(tabs)/index';
import { PULL_REQUEST, service } from './service';

const patient = { timeout: 20_000 };

async function askForPlan() {
  renderRouter(
    { _layout: RootLayout, '(tabs)/_layout': TabsLayout, '(tabs)/index': Screen },
    { initialUrl: '/' },
  );
  fireEvent.changeText(await screen.findByLabelText('GitHub user token'), 'ghu_maya');
  fireEvent.changeText(screen.getByLabelText('Address of your service'), 'https://service.example');
  fireEvent.press(screen.getByRole('button', { name: 'Sign in' }));
  fireEvent.changeText(await screen.findByLabelText('Repository'), 'acme/widget');
  fireEvent.changeText(screen.getByLabelText('Your wish'), 'Fix it');
  fireEvent.press(screen.getByRole('button', { name: 'Make a plan' }));
  return screen.findByRole('button', { name: 'Accept plan' }, patient);
}

function serve(...args: Parameters<typeof service>) {
  const { fetch } = service(...args);
  globalThis.fetch = (url, init) => fetch(String(url).replace('https://service.example', ''), init);
}

test('accepting a plan leads to its pull request', async () => {
  serve();
  fireEvent.press(await askForPlan());
  expect(await screen.findByText(PULL_REQUEST, {}, patient)).toBeTruthy();
  expect(screen.getByText('Done')).toBeTruthy();
  expect(screen.queryByRole('alert')).toBeNull();
});

test('a job that fails says why', async () => {
  serve({ state: 'failed', error: 'The tests of step 1 did not pass.' });
  fireEvent.press(await askForPlan());
  await waitFor(() => expect(screen.getByText('Failed')).toBeTruthy(), patient);
  expect(screen.getByText('The tests of step 1 did not pass.')).toBeTruthy();
  expect(screen.queryByText('Open pull request')).toBeNull();
});
