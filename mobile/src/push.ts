/** A native build would need push certificates of whoever publishes it; the browser does not. */
import type { Api } from './api/client';

export const POSSIBLE: boolean = false;

/** What a person can do where it is not possible. */
export const INSTEAD: string =
  'To be notified, use the GitHub app: you are mentioned on the pull request. Or open your ' +
  'service’s address with /app in the browser and add it to the home screen.';

export const isOn = async (): Promise<boolean> => false;
export const renew = async (_api: Api): Promise<void> => undefined;
export const turnOn = async (_api: Api): Promise<void> => undefined;
export const turnOff = async (_api: Api): Promise<void> => undefined;
