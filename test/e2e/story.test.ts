import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestService } from '../harness/service.ts';
import { call, createKey, startService } from '../harness/service.ts';

let service: TestService;
beforeAll(async () => { service = await startService(); });
afterAll(async () => { await service.stop(); });

test('a hybrid key signs, is rotated, and still verifies the old signature', async () => {
  const { kid } = await createKey(service);
  const payload = { payload_b64: Buffer.from('the deed').toString('base64') };
  const { body: signed } = await call(service, 'POST', '/sign', { kid, ...payload });
  expect(signed['sigs'].map(({ alg }: { alg: string }) => alg)).toEqual(['ed25519', 'ml-dsa']);

  const base = kid.split('#')[0];
  const { body: rotated } = await call(service, 'POST', `/keys/${base}/rotate`, {});
  expect(rotated).toEqual({ kid: `${base}#v2`, previous: `${base}#v1` });

  const { body: verified } = await call(service, 'POST', '/verify', { kid: base, ...payload, sigs: signed['sigs'], policy: { mode: 'and' } });
  expect(verified['ok']).toBe(true);
});
