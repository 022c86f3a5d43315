import type { OutsideCustody } from '../harness/outside-custody.ts';
import type { Wired, WiredOptions } from '../harness/wired.ts';
import type { Answer } from '../harness/service.ts';
import { afterEach, expect, test } from 'vitest';
import { entriesFrom } from '../harness/entries.ts';
import { startOutsideCustody } from '../harness/outside-custody.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

/** The keys are in another process, and that process really dies, hangs and comes back. */
let device: OutsideCustody;
let service: Wired;
let ticks: NodeJS.Timeout | undefined;
let stopLoad: (() => Promise<void>) | undefined;

async function start(options: WiredOptions = {}): Promise<void> {
  device = await startOutsideCustody();
  service = await startWired({ ...options, custody: device.custody });
}

/** As the running service does, only more often. */
function keepTicking(): void {
  ticks = setInterval(() => { void service.custody.tick(); }, 50);
}

afterEach(async () => {
  clearInterval(ticks);
  await stopLoad?.();
  stopLoad = undefined;
  await service.stop();
  await device.stop();
});

const DIGEST = 'ab'.repeat(32);
const sign = (kid: string): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);

/** Signs again and again at `width` connections until it is told to stop; gives every outcome in the order of the answers. */
function load(kid: string, width: number): { outcomes: string[]; signed: number[]; stop: () => Promise<void> } {
  const outcomes: string[] = [];
  const signed: number[] = [];
  const over = new AbortController();
  const lines = Array.from({ length: width }, async () => {
    while (!over.signal.aborted) {
      const answer = await sign(kid);
      outcomes.push(codeOf(answer));
      if (answer.status === 200) signed.push((answer.body['audit'] as { index: number }).index);
    }
  });
  stopLoad = async () => { over.abort(); await Promise.all(lines); };
  return { outcomes, signed, stop: stopLoad };
}

test('killed under load and brought back: sign is refused meanwhile, verify goes on, and it signs again by itself', { timeout: 60_000 }, async () => {
  await start();
  keepTicking();
  const { kid } = await createKey(service);
  const { body: { sigs } } = await sign(kid);
  const verify = (): Promise<Answer> => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs });
  expect((await verify()).body['cache_age_ms']).toBeUndefined();

  const running = load(kid, 8);
  await eventually('it signs', 10_000, () => running.signed.length > 50);
  await device.kill();
  await eventually('it is known to be gone', 10_000, () => !service.custody.isReady());

  const refused = await sign(kid);
  expect([codeOf(refused), Number(refused.headers.get('retry-after')) >= 1]).toEqual(['503 StoreUnavailable', true]);
  expect(codeOf(await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }))).toBe('503 StoreUnavailable');
  const { status, body, headers } = await verify();
  expect([status, body['ok'], headers.get('x-kms-cache-age')]).toEqual([200, true, String(body['cache_age_ms'])]);
  expect(body['cache_age_ms']).toBeGreaterThanOrEqual(0);
  const batch = await call(service, 'POST', '/verify/batch', { items: [{ kid, payload_b3: DIGEST, sigs }] });
  expect(Number(batch.headers.get('x-kms-cache-age'))).toBe(batch.body['items'][0].cache_age_ms);
  // Nobody runs after a dead device with every call.
  const before = device.asked();
  await Promise.all(Array.from({ length: 32 }, () => sign(kid)));
  expect(device.asked() - before).toBeLessThanOrEqual(2);

  await device.comeBack();
  const atReturn = running.signed.length;
  await eventually('it signs again', 30_000, () => running.signed.length > atReturn + 50);
  await running.stop();
  expect((await verify()).body['cache_age_ms']).toBeUndefined();
  expect(service.custody.reconnects()).toBe(1);
  expect(new Set(running.outcomes)).toEqual(new Set(['ok', '503 StoreUnavailable']));
  expect(service.log()).toContain('"backend_out"');
  expect(service.log()).toContain('"backend_back"');
  // What was answered is in the log, and nothing was answered twice.
  const entries = await entriesFrom(service.audit);
  expect(running.signed.every((index) => entries[index]?.['op'] === 'sign' && entries[index]?.['result'] === 'ok')).toBe(true);
  expect(new Set(running.signed).size).toBe(running.signed.length);
});

test('one that hangs is given up after two seconds, and behind a few of those it is not waited for at all', { timeout: 60_000 }, async () => {
  await start();
  const { kid } = await createKey(service);
  device.freeze();
  const begun = performance.now();
  const codes = (await Promise.all(Array.from({ length: 4 }, () => sign(kid)))).map(codeOf);
  const tookMs = performance.now() - begun;
  expect(new Set(codes)).toEqual(new Set(['504 Timeout']));
  expect(tookMs).toBeGreaterThan(1900);
  expect(codeOf(await sign(kid))).toBe('503 StoreUnavailable');
  device.thaw();
  keepTicking();
  await eventually('it signs again', 30_000, async () => (await sign(kid)).status === 200);
  // What it had been given up for came in the end, and went nowhere.
  const entries = await entriesFrom(service.audit);
  expect(entries.filter((entry) => entry['result'] === 'Timeout').length).toBeGreaterThan(0);
  expect(service.custody.busy()).toBe(0);
});

test('verify with known keys ends with their time', { timeout: 60_000 }, async () => {
  await start({ verifyCacheTtlMs: 400 });
  keepTicking();
  const { kid } = await createKey(service);
  const { body: { sigs } } = await sign(kid);
  const verify = (): Promise<Answer> => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs });
  await device.kill();
  await eventually('it is known to be gone', 10_000, () => !service.custody.isReady());
  const stale = await eventually('their time is over', 10_000, async () => {
    const answer = await verify();
    return answer.status === 200 ? undefined : answer;
  });
  expect([codeOf(stale), stale.headers.has('retry-after')]).toEqual(['503 StoreUnavailable', true]);
  await device.comeBack();
  await eventually('it verifies again', 30_000, async () => (await verify()).status === 200);
});

test('a key that is disabled while the backend is out verifies no more, whatever was known of it', { timeout: 60_000 }, async () => {
  await start();
  keepTicking();
  const { kid } = await createKey(service);
  const { body: { sigs } } = await sign(kid);
  await device.kill();
  await eventually('it is known to be gone', 10_000, () => !service.custody.isReady());
  expect((await call(service, 'POST', `/keys/${encodeURIComponent(kid)}/disable`, {})).status).toBe(200);
  expect(codeOf(await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }))).toBe('409 KeyState');
});
