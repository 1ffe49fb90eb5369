// Phones in headless Chromium, told what to do by JSON lines on stdin: one request, one answer.
//
//   {"id": 1, "device": "first", "do": "open", "path": "/app/"}  →  {"id": 1, "value": null}
//
// A device has its own cookies and storage. Takes BASE_URL, and CHROMIUM (path), SECONDS (patience).
// tests/e2e/phone.py speaks it.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(new URL('../../mobile/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const { env } = process;
const base = env.BASE_URL;
const patience = 1000 * Number(env.SECONDS ?? 30);
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);
const BUTTONS = '[role=button], [role=tab], [role=switch], a, input, textarea';

const browser = await chromium.launch({
  executablePath: env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const devices = new Map();

async function device(name, scheme) {
  if (devices.has(name)) return devices.get(name);
  const context = await browser.newContext({
    bypassCSP: false,
    colorScheme: scheme ?? 'light',
    permissions: ['notifications', 'clipboard-read', 'clipboard-write'],
    viewport: { width: 412, height: 915 },
  });
  context.setDefaultTimeout(patience);
  const complaints = [];
  const page = await context.newPage();
  page.on('console', (said) => {
    // What the app itself tells the person: that nobody is signed in, or that no service is there.
    const expected = /status of 4|ERR_(CONNECTION|INTERNET|NETWORK|INCOMPLETE|EMPTY)/;
    if (said.type() === 'error' && !expected.test(said.text())) complaints.push(said.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  context.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol.startsWith('http') && !LOOPBACK.has(hostname)) {
      complaints.push(`${request.url()} leaves this machine`);
    }
  });
  const made = { context, page, complaints };
  devices.set(name, made);
  return made;
}

/** The first visible part of the page with that role and name, or with that text. */
function part(page, { role, name, exact = true }) {
  const named = name === undefined || name === null ? {} : { name, exact };
  const found = role ? page.getByRole(role, named) : page.getByText(name);
  return found.filter({ visible: true }).first();
}

const field = (page, { name }) =>
  page.getByLabel(name, { exact: true }).and(page.locator('input, textarea')).first();

const deeds = {
  prepare: ({ context }, { script }) => context.addInitScript(script),
  open: ({ page }, { path }) => page.goto(base + path),
  reload: ({ page }) => page.reload(),
  address: ({ page }) => page.url(),
  see: ({ page }, asked) => part(page, asked).waitFor(),
  gone: ({ page }, asked) => part(page, asked).waitFor({ state: 'hidden' }),
  press: ({ page }, asked) => part(page, asked).click(),
  key: ({ page }, { name }) => page.keyboard.press(name),
  write: ({ page }, asked) => field(page, asked).fill(asked.text),
  value: ({ page }, asked) => field(page, asked).inputValue(),
  text: ({ page }, asked) => part(page, asked).innerText(),
  texts: ({ page }, { role }) => page.getByRole(role).filter({ visible: true }).allInnerTexts(),
  attribute: ({ page }, asked) => part(page, asked).getAttribute(asked.attribute),
  evaluate: ({ page }, { script }) => page.evaluate(script),
  offline: ({ context }, { on }) => context.setOffline(on),
  // A phone asleep: the page is told that nobody sees it, as a browser would.
  asleep: ({ page }, { on }) =>
    page.evaluate((hidden) => {
      const state = hidden ? 'hidden' : 'visible';
      Object.defineProperty(document, 'visibilityState', { configurable: true, value: state });
      document.dispatchEvent(new Event('visibilitychange'));
    }, on),
  look,
  push,
  async picture({ page }, { file }) {
    mkdirSync(dirname(file), { recursive: true });
    await page.screenshot({ path: file });
  },
  complaints: ({ complaints }) => complaints.splice(0),
  async close({ context }, { device: name }) {
    await context.close();
    devices.delete(name);
  },
};

/** What people who can't see it, or have large thumbs, would stumble over. */
async function look({ page }) {
  // Evaluated, not injected: the page's own policy allows no script from elsewhere.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ help, nodes }) => `${help}: ${nodes.map(({ html }) => html).join(', ')}`);
  const small = await page.evaluate((buttons) => {
    return (
      [...document.querySelectorAll(buttons)]
        // A link within a line of text has the line's height; the standard excepts it.
        .filter((it) => it.tagName !== 'A' || getComputedStyle(it).display !== 'inline')
        .map((it) => [it.getBoundingClientRect().height, it.outerHTML.slice(0, 160)])
        .filter(([height]) => height > 0 && height < 48)
        .map(([height, html]) => `${height} px: ${html}`)
    );
  }, BUTTONS);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  return [...found, ...small, ...(wide ? ['The page is wider than the screen.'] : [])];
}

/** What a push service would bring. */
async function push({ context, page }, { data }) {
  const cdp = await context.newCDPSession(page);
  const registered = new Promise((resolve) =>
    cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations: [first] }) => {
      if (first) resolve(first.registrationId);
    }),
  );
  await cdp.send('ServiceWorker.enable');
  const { origin } = new URL(page.url());
  const registrationId = await registered;
  await cdp.send('ServiceWorker.deliverPushMessage', { origin, registrationId, data });
}

/** What a script of a test waits for has no limit of its own. */
function late({ do: deed }) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${deed} took too long`)), patience + 5_000).unref();
  });
}

async function answer(asked) {
  try {
    const done = deeds[asked.do](await device(asked.device, asked.scheme), asked);
    const value = await Promise.race([done, late(asked)]);
    const plain = asked.do === 'open' || asked.do === 'reload' ? null : (value ?? null);
    return { id: asked.id, value: plain };
  } catch (error) {
    const page = devices.get(asked.device)?.page;
    const shown = await page?.evaluate(() => document.body.innerText).catch(() => '');
    return { id: asked.id, error: `${error.message}\nThe page says:\n${shown}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  void answer(JSON.parse(line)).then((told) => process.stdout.write(`${JSON.stringify(told)}\n`));
}
await browser.close();
