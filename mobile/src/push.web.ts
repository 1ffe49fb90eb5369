/** Web Push through the service worker (https://www.w3.org/TR/push-api/). */
import type { Api } from './api/client';

export const POSSIBLE: boolean = 'serviceWorker' in navigator && 'PushManager' in globalThis;

/** What a person can do where it is not possible. */
export const INSTEAD: string =
  'This browser can’t notify you here. On an iPhone, add this page to the home screen first; ' +
  'elsewhere it needs an https address.';

export async function isOn(): Promise<boolean> {
  if (!POSSIBLE || Notification.permission !== 'granted') return false;
  return (await current()) !== null;
}

export async function turnOn(api: Api): Promise<void> {
  if ((await Notification.requestPermission()) !== 'granted') {
    throw new Error('Notifications are blocked for this page: allow them in the browser first.');
  }
  await subscribe(api);
}

/** Says it again, where it is on: the service forgets a browser with its session, or in a month. */
export async function renew(api: Api): Promise<void> {
  if (await isOn()) await subscribe(api);
}

export async function turnOff(api: Api): Promise<void> {
  const subscription = await current();
  if (!subscription) return;
  await api.unsubscribe(subscription.endpoint); // first: the browser forgets the endpoint
  await subscription.unsubscribe();
}

async function current(): Promise<PushSubscription | null> {
  const registration = await navigator.serviceWorker.getRegistration();
  return registration ? registration.pushManager.getSubscription() : null;
}

async function subscribe(api: Api): Promise<void> {
  const key = await api.pushKey();
  const { pushManager } = await navigator.serviceWorker.ready;
  // A subscription holds for one key, and the service's changes with its secret.
  const before = await pushManager.getSubscription();
  if (before && base64url(before.options.applicationServerKey) !== key) await before.unsubscribe();
  const subscription = await pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: key, // base64url, as the API takes it
  });
  await api.subscribe(subscription.toJSON());
}

function base64url(bytes: ArrayBuffer | null): string {
  const text = String.fromCharCode(...new Uint8Array(bytes ?? []));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
