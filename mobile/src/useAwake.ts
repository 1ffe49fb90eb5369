/** Whether the app is on the screen. In the background its streams rest. */
import { useSyncExternalStore } from 'react';
import { AppState } from 'react-native';

const subscribe = (changed: () => void) => {
  const subscription = AppState.addEventListener('change', changed);
  return () => subscription.remove();
};

// "inactive" is a call or the app switcher on iOS: too short to hang up for.
export const useAwake = (): boolean =>
  useSyncExternalStore(subscribe, () => AppState.currentState !== 'background');
