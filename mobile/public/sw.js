// The app without a connection, and notifications. What the service answers under /api is never
// kept here: the app itself remembers what it knew, and says so.
const SHELL = 'shell-1';
const PAGE = '/app/';

self.addEventListener('install', (event) => {
  event.waitUntil(
    fetch(PAGE, { cache: 'no-cache' })
      .then(keep)
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((it) => it !== SHELL).map((it) => caches.delete(it))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== location.origin || !pathname.startsWith(PAGE)) return;
  if (request.mode === 'navigate') event.respondWith(page(event));
  else event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request)));
});

// Every address of the app is the one page: from the service, or without it as it was.
async function page(event) {
  try {
    const response = await fetch(event.request);
    if (response.ok) event.waitUntil(keep(response.clone()));
    // A gateway without a service behind it answers, but with nothing of ours.
    if (response.status < 500) return response;
    return (await caches.match(PAGE)) ?? response;
  } catch (error) {
    const kept = await caches.match(PAGE);
    if (kept) return kept;
    throw error;
  }
}

// The page and what it is made of; what an earlier page was made of goes.
async function keep(response) {
  if (!response.ok) throw new Error(`${PAGE} answered ${response.status}`);
  const html = await response.clone().text();
  const parts = [...html.matchAll(/(?:src|href)="(\/app\/[^"]+)"/g)].map((found) => found[1]);
  const cache = await caches.open(SHELL);
  const missing = [];
  for (const part of parts) if (!(await cache.match(part))) missing.push(part);
  await cache.addAll(missing);
  await cache.put(PAGE, response);
  const wanted = new Set([PAGE, ...parts].map((part) => new URL(part, location.origin).href));
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url)) await cache.delete(request);
  }
}

self.addEventListener('push', (event) => {
  event.waitUntil(show(event.data.json().notification));
});

// The message has the form of Declarative Web Push: browsers that know it need no help of ours.
async function show({ title, body, navigate, tag, data }) {
  // The newest word on a job takes the place of the one before; the same word twice rings once.
  const before = await self.registration.getNotifications({ tag });
  await self.registration.showNotification(title, {
    body,
    data: { ...data, url: navigate },
    icon: '/app/icon-192.png',
    badge: '/app/icon-192.png',
    tag,
    renotify: !before.some((shown) => shown.data?.id === data.id),
  });
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const url = new URL(event.notification.data.url, location.origin);
  // Nobody but us sends these, and still they only lead into the app.
  const target = url.origin === location.origin && url.pathname.startsWith(PAGE) ? url.href : PAGE;
  event.waitUntil(open(target));
});

async function open(target) {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const there = windows.find((client) => client.url === target);
  if (there) return there.focus();
  return self.clients.openWindow(target);
}
