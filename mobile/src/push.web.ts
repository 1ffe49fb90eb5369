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
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: await api.pushKey(), // base64url, as the API takes it
  });
  await api.subscribe(subscription.toJSON());
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
