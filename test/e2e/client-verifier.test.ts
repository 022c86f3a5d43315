import type { Verifier, VerifierAnswer, VerifierOptions } from '../../client/src/index.ts';
import type { Serving } from '../harness/service.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, createVerifier, KmsClientError } from '../../client/src/index.ts';
import { endInstances, initInstance, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, tokenOf } from '../harness/service.ts';

type Signed = { kid: string; payload_b3: string; sigs: { alg: string; signature_b64: string }[] };

const root = mkdtempSync(join(tmpdir(), 'ron-kms-verifier-'));
const DIGEST = 'ab'.repeat(32);
let start: (flags?: readonly string[]) => Promise<Serving>;
let service: Serving;

beforeAll(async () => {
  const instance = await initInstance(root);
  start = (flags = []) => instance.start({ flags });
  service = await start();
  await untilReady(service);
});
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

/** The same address again, as behind a name that stays. */
async function restart(): Promise<void> {
  service = await start(['--bind-addr', new URL(service.apiUrl).host]);
  await untilReady(service);
}

async function signed(fields: Record<string, unknown> = {}): Promise<Signed> {
  const { kid } = await createKey(service, fields);
  const { body } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  return { kid: kid as string, payload_b3: DIGEST, sigs: body['sigs'] as Signed['sigs'] };
}

function verifierOf(options?: VerifierOptions, token = tokenOf()): Verifier {
  return createVerifier(createClient({ url: service.apiUrl, token }), options);
}

async function codeOf(outcome: Promise<unknown>): Promise<string> {
  return outcome.then(() => 'ok', (fault: unknown) => (fault instanceof KmsClientError ? fault.code : String(fault)));
}

test('a restart under load is not seen by who verifies, and each answer without the service says so', { timeout: 60_000 }, async () => {
  const bundle = await signed();
  const verifier = verifierOf();
  await verifier.learn([bundle.kid]);
  const answers: VerifierAnswer[] = [];
  const over = new AbortController();
  const lines = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) {
      answers.push(await verifier.verify(bundle));
      // From the cache it is a matter of microseconds; the test shares its one thread with the service's start.
      await new Promise((resolve) => { setImmediate(resolve); });
    }
  });
  await eventually('it is asked', 10_000, () => answers.length > 100);
  await service.end('SIGTERM');
  await eventually('it is done without', 10_000, () => answers.filter(({ fromCache }) => fromCache).length > 100);
  await restart();
  await eventually('it is asked again', 10_000, () => answers.at(-1)?.fromCache === false);
  over.abort();
  await Promise.all(lines);

  expect(answers.every(({ ok }) => ok)).toBe(true);
  const without = answers.filter(({ fromCache }) => fromCache);
  expect(without.every(({ details, cache_age_ms: ageMs }) => details.degraded === true && ageMs !== undefined && ageMs >= 0)).toBe(true);
  expect(without[0]?.details).toEqual({ ...answers[0]?.details, degraded: true });
});

test('what is forged, turned around or not enough is not good without the service either', { timeout: 60_000 }, async () => {
  const [bundle, other] = [await signed(), await signed()];
  const disabled = await signed();
  await call(service, 'POST', `/keys/${encodeURIComponent(disabled.kid)}/disable`, {});
  const verifier = verifierOf();
  await verifier.learn([bundle.kid, other.kid, disabled.kid]);
  await service.end('SIGTERM');

  const okOf = async (body: Parameters<Verifier['verify']>[0]): Promise<boolean> => {
    const { ok, fromCache } = await verifier.verify(body);
    expect(fromCache).toBe(true);
    return ok;
  };
  expect(await okOf(bundle)).toBe(true);
  expect(await okOf({ ...bundle, kid: bundle.kid.split('#')[0] ?? '' })).toBe(true);
  expect(await okOf({ ...bundle, payload_b3: 'cd'.repeat(32) })).toBe(false);
  expect(await okOf({ ...bundle, kid: other.kid })).toBe(false);
  expect(await okOf({ payload_b3: DIGEST, sigs: bundle.sigs, kid_set: [other.kid, bundle.kid] })).toBe(true);
  // It has never heard which mode the service takes: the strictest.
  expect(await okOf({ ...bundle, sigs: bundle.sigs.slice(0, 1) })).toBe(false);
  const [first, second] = bundle.sigs as [Signed['sigs'][0], Signed['sigs'][0]];
  expect(await okOf({ ...bundle, sigs: [{ ...first, signature_b64: second.signature_b64 }, { ...second, signature_b64: first.signature_b64 }] })).toBe(false);
  expect(await okOf({ ...bundle, sigs: [{ ...first, signature_b64: 'AAAA' }, second] })).toBe(false);

  const unsaid: readonly Parameters<Verifier['verify']>[0][] = [
    disabled,
    { ...bundle, kid: `${bundle.kid.split('#')[0]}#v2` },
    { ...bundle, kid: bundle.kid.replace('core/', 'other/') },
    { ...bundle, sigs: [first, first] },
    { ...bundle, sigs: [] },
    { ...bundle, sigs: [{ ...first, alg: 'mldsa65-ed25519-sha512' }] },
    { ...bundle, context_b64: 'AA==' },
    { kid: bundle.kid, payload_b64: 'AA==', sigs: bundle.sigs },
    { ...bundle, kid_set: [bundle.kid, 'core/audit/ed25519/01890000-0000-7000-8000-000000000000'] },
  ];
  expect(await Promise.all(unsaid.map((body) => codeOf(verifier.verify(body))))).toEqual(unsaid.map(() => 'Unreachable'));
  await restart();
});

test('what is known ends with its time, and a refusal is never answered around', { timeout: 60_000 }, async () => {
  const bundle = await signed();
  // Longer than a stop takes beside other work.
  const brief = verifierOf({ ttlMs: 4000 });
  const blind = verifierOf({}, tokenOf({ caveats: [...everything('core'), 'scope = kms:verify'] }));
  await brief.learn([bundle.kid]);
  expect((await blind.verify(bundle)).ok).toBe(true);
  expect(await codeOf(verifierOf({}, tokenOf({ caveats: everything('other') })).verify(bundle))).toBe('NoCapability');
  expect(await codeOf(brief.verify({ ...bundle, sigs: [] }))).toBe('BadRequest');

  await service.end('SIGTERM');
  expect((await brief.verify(bundle)).fromCache).toBe(true);
  await eventually('its time is over', 15_000, async () => (await codeOf(brief.verify(bundle))) === 'Unreachable');
  // Its token may not read keys: it never had them.
  expect(await codeOf(blind.verify(bundle))).toBe('Unreachable');
  await restart();
  expect((await brief.verify(bundle)).fromCache).toBe(false);
});

test('nobody has to teach it: a verify is enough, under the mode that the service took; and it forgets who came first', { timeout: 60_000 }, async () => {
  await service.end('SIGTERM');
  service = await start(['--bind-addr', new URL(service.apiUrl).host, '--pq-verify-mode', 'or']);
  await untilReady(service);
  const [bundle, second, third] = [await signed(), await signed(), await signed()];
  const half = { ...bundle, sigs: bundle.sigs.slice(0, 1) };
  let reads = 0;
  const client = createClient({ url: service.apiUrl, token: tokenOf() });
  const verifier = createVerifier({ ...client, getKey: async (kid, options) => { const key = await client.getKey(kid, options); reads++; return key; } }, { keysMax: 2 });
  for (const one of [half, second, third]) {
    const before = reads;
    expect(await verifier.verify(one)).toMatchObject({ ok: true, fromCache: false });
    await eventually('it has learnt the key', 5000, () => reads > before);
  }
  // What it knows is fresh: nobody is asked again.
  await verifier.verify(third);
  expect(reads).toBe(3);
  await service.end('SIGTERM');
  expect(await verifier.verify({ ...third, sigs: third.sigs.slice(0, 1) })).toMatchObject({ ok: true, fromCache: true, details: { mode: 'or' } });
  expect(await verifier.verify({ ...third, sigs: third.sigs.slice(0, 1), policy: { mode: 'and' } })).toMatchObject({ ok: false, details: { mode: 'and' } });
  expect((await verifier.verify(second)).fromCache).toBe(true);
  expect(await codeOf(verifier.verify(half))).toBe('Unreachable');
  await restart();
});
