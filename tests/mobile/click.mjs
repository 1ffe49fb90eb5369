// Clicks through the phone's screen in headless Chromium: a wish, its plan, accept, pull request.
//
//   BASE_URL=http://127.0.0.1:8000 TOKEN=ghu_… REPOSITORY=owner/name node tests/mobile/click.mjs
//
// also WISH, ISSUE, SCHEME (light or dark), SECONDS (time limit), SCREENSHOTS (a folder),
// CHROMIUM (path). Prints one JSON line: {"pull_request_url", "plan", "seconds"}. Ends with 1 and
// a sentence where a step failed, the page complained, or axe found something to mend.
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../mobile/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const axe = require.resolve('axe-core/axe.min.js');

const { env } = process;
for (const name of ['BASE_URL', 'TOKEN', 'REPOSITORY']) {
  if (!env[name]) throw new Error(`${name} is missing; the head of this file says what it takes.`);
}
const limit = 1000 * Number(env.SECONDS ?? 120);
const scheme = env.SCHEME ?? 'light';
const began = Date.now();

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

const complaints = [];
try {
  const context = await browser.newContext({
    bypassCSP: false,
    colorScheme: scheme,
    viewport: { width: 412, height: 915 },
  });
  context.setDefaultTimeout(limit);
  const page = await context.newPage();
  page.on('console', (said) => said.type() === 'error' && complaints.push(said.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));

  await page.goto(`${env.BASE_URL}/app/`);
  await look(page, 'sign-in');
  await page.getByLabel('GitHub user token').fill(env.TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();

  await page.getByLabel('Repository').fill(env.REPOSITORY);
  if (env.ISSUE) await page.getByLabel('Issue').fill(env.ISSUE);
  await page.getByLabel('Your wish').fill(env.WISH ?? 'Fix what the issue describes');
  await look(page, 'wish');
  await page.getByRole('button', { name: 'Make a plan' }).click();

  const accept = page.getByRole('button', { name: 'Accept plan' });
  await step(page, accept);
  const plan = await page.getByRole('heading', { level: 2 }).last().innerText();
  await look(page, 'plan');
  await accept.click();

  const link = page.getByRole('link', { name: 'Open pull request' });
  await step(page, link);
  await page.getByRole('status').getByText('Done').waitFor();
  await look(page, 'pull-request');
  const url = await link.getAttribute('href');
  const box = await link.boundingBox();
  if (!box || box.y < 0 || box.y > 915) throw new Error('The pull request is not in view.');

  if (complaints.length) throw new Error(`The page complained: ${complaints.join('; ')}`);
  const seconds = (Date.now() - began) / 1000;
  console.log(JSON.stringify({ pull_request_url: url, plan, seconds }));
} catch (error) {
  console.error([error.message ?? String(error), ...complaints].join('\n'));
  process.exitCode = 1;
} finally {
  await browser.close();
}

/** Waits for what comes next, or for the sentence that says why it won't. */
async function step(page, next) {
  const alert = page.getByRole('alert');
  await next.or(alert).first().waitFor();
  if (await alert.count()) throw new Error(`The screen says: ${await alert.first().innerText()}`);
}

/** A picture, and a check that people who can't see it can use it. */
async function look(page, name) {
  if (env.SCREENSHOTS) {
    mkdirSync(env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: `${env.SCREENSHOTS}/${scheme}-${name}.png` });
  }
  // Evaluated, not injected: the page's own policy allows no script from elsewhere.
  const { readFileSync } = await import('node:fs');
  await page.evaluate(readFileSync(axe, 'utf8'));
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }),
  );
  const found = violations.map((it) => `${it.help}: ${it.nodes.map((n) => n.html).join(', ')}`);
  if (found.length) throw new Error(`${name}: ${found.join('; ')}`);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('[role=button], a, input, textarea')]
      .map((part) => [part.getBoundingClientRect().height, part.outerHTML.slice(0, 120)])
      .filter(([height]) => height > 0 && height < 48),
  );
  if (small.length) throw new Error(`${name}: too small to touch: ${JSON.stringify(small)}`);
}
