import type { Answer, TestService } from '../harness/service.ts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

/** Settings that become stricter while keys are in use: what was wrapped opens for good, and nothing else goes on with what is not wanted any more. */
const DIGEST = 'cd'.repeat(32);
const CLASSICAL = '[tenants.strict]\nverify_mode = "or"\n';
const token = tokenOf({ caveats: everything('*') });
const send = (path: string, body: object): Promise<Answer> => call(service, 'POST', path, body, token);
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${body['error'].code}`);

let service: TestService;
beforeAll(async () => { service = await startService({ flags: ['--pq-verify-mode', 'or'], toml: CLASSICAL }); });
afterAll(async () => { await service.stop(); });

async function reload(toml: string): Promise<void> {
  const before = service.log().split('"reloaded"').length;
  writeFileSync(join(service.directory, 'kms.toml'), toml);
  process.kill(service.pid, 'SIGHUP');
  await eventually('the settings are taken', 5000, () => service.log().split('"reloaded"').length > before);
}

async function inUse(tenant: string) {
  const signing = (await createKey(service, { tenant, alg: 'ed25519' }, token))['kid'];
  const wrapping = (await createKey(service, { tenant, alg: 'x25519' }, token))['kid'];
  const { body: { sigs } } = await send('/sign', { kid: signing, payload_b3: DIGEST });
  const { body: { wrapped_b64 } } = await send('/wrap', { kid: wrapping, size: 32 });
  return async () => ({
    sign: codeOf(await send('/sign', { kid: signing, payload_b3: DIGEST })), verify: codeOf(await send('/verify', { kid: signing, payload_b3: DIGEST, sigs })),
    wrap: codeOf(await send('/wrap', { kid: wrapping, size: 32 })), unwrap: codeOf(await send('/unwrap', { wrapped_b64 })), rewrap: codeOf(await send('/rewrap', { wrapped_b64 })),
  });
}

test('a tenant that is to be post-quantum: a classical key opens what it wrapped, and is not rewrapped to', async () => {
  const tryAll = await inUse('strict');
  expect(Object.values(await tryAll())).toEqual(Array.from({ length: 5 }, () => 'ok'));
  await reload('[tenants.strict]\nverify_mode = "and"\n');
  expect(await tryAll()).toEqual({ sign: '403 PqPolicy', verify: '403 PqPolicy', wrap: '403 PqPolicy', unwrap: 'ok', rewrap: '403 PqPolicy' });
  await reload(CLASSICAL);
  expect(Object.values(await tryAll())).toEqual(Array.from({ length: 5 }, () => 'ok'));
});

test('an algorithm that is taken off the list opens what it wrapped, and does nothing else', async () => {
  const tryAll = await inUse('core');
  await reload(`${CLASSICAL}[service]\nallowed_algs = ["ml-dsa", "ml-kem"]\n`);
  expect(await tryAll()).toEqual({ sign: '400 Unsupported', verify: '400 Unsupported', wrap: '400 Unsupported', unwrap: 'ok', rewrap: '400 Unsupported' });
  await reload(CLASSICAL);
  expect(Object.values(await tryAll())).toEqual(Array.from({ length: 5 }, () => 'ok'));
});
