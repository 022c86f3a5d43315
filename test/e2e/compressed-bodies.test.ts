import type { TestService } from '../harness/service.ts';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultsOfRefusal } from '../harness/refusal.ts';
import { createKey, startService, tokenOf } from '../harness/service.ts';

const MIB = 1 << 20;
let service: TestService;
let kid: string;
beforeAll(async () => {
  service = await startService();
  ({ kid } = await createKey(service) as { kid: string });
});
afterAll(() => service.stop());

const codings = [
  ['gzip', gzipSync], ['x-gzip', gzipSync], ['GZIP', gzipSync], ['br', brotliCompressSync], ['zstd', zstdCompressSync],
] as const;

async function send(encoding: string, body: Buffer, token: string = tokenOf()) {
  const response = await fetch(`${service.apiUrl}/v1/kms/sign`, {
    method: 'POST', body: new Uint8Array(body),
    headers: { 'content-type': 'application/json', 'content-encoding': encoding, ...(token !== '' && { authorization: `Bearer ${token}` }) },
  });
  return { status: response.status, text: await response.text(), header: (name: string) => response.headers.get(name) };
}

/** A body that signs so many random bytes: it does not become a tenth. */
const signing = (bytes: number): Buffer => Buffer.from(JSON.stringify({ kid, payload_b64: randomBytes(bytes).toString('base64') }));

async function counted(reason: string): Promise<number> {
  const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
  return Number(new RegExp(`^kms_reject_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

function peakKiB(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1]);
}

describe.each(codings)('a body in %s', (encoding, compress) => {
  test('is taken as if it had not been compressed', async () => {
    for (const bytes of [1, 1000, 500_000]) expect((await send(encoding, compress(signing(bytes)))).status).toBe(200);
  });

  test('that is cut, changed or not what it says it is, is BadRequest', async () => {
    const whole = compress(signing(5000));
    for (const bad of [whole.subarray(0, -9), Buffer.alloc(20, 0x41), Buffer.concat([whole.subarray(0, 20), randomBytes(40)])]) {
      const answer = await send(encoding, bad);
      expect([answer.status, ...faultsOfRefusal(answer, ['BadRequest'])]).toEqual([400]);
    }
  });

  test('that becomes more than ten times as large, or larger than a body may be, is TooLarge and counted as that', async () => {
    const before = [await counted('ratio_cap'), await counted('decompress_cap')];
    const ratio = await send(encoding, compress(Buffer.from(JSON.stringify({ kid, payload_b64: 'A'.repeat(100_000) }))));
    expect([ratio.status, ...faultsOfRefusal(ratio, ['TooLarge'])]).toEqual([413]);
    const large = compress(Buffer.from(JSON.stringify({ kid, payload_b64: randomBytes(600_000).toString('base64'), more: ' '.repeat(MIB) })));
    const capped = await send(encoding, large);
    expect([large.length < MIB, capped.status, ...faultsOfRefusal(capped, ['TooLarge'])]).toEqual([true, 413]);
    expect([await counted('ratio_cap'), await counted('decompress_cap')]).toEqual(before.map((count) => count + 1));
  });
});

test.each(['deflate', 'gzip, br', 'compress', 'identity, gzip', 'x'])('the coding %s is BadRequest, with those that are taken', async (encoding) => {
  const answer = await send(encoding, deflateSync(signing(10)));
  expect([answer.status, ...faultsOfRefusal(answer, ['BadRequest'])]).toEqual([400]);
  expect(answer.text).toContain('gzip, br or zstd');
});

const bombs = [
  ['gzip', gzipSync(Buffer.alloc(10 * MIB))], ['zstd', zstdCompressSync(Buffer.alloc(10 * MIB))],
  ['br', brotliCompressSync(Buffer.alloc(10 * MIB), { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } })],
] as const;

test('a bomb of 10 MiB costs next to nothing: what it would become never exists', async () => {
  await send('gzip', gzipSync(signing(1000)));
  const before = peakKiB();
  expect((await send(bombs[0][0], bombs[0][1])).status).toBe(413);
  expect(peakKiB() - before).toBeLessThan(2 * 1024);
});

test('hundreds of bombs at once are refused within bounds', { timeout: 60_000 }, async () => {
  const before = peakKiB();
  const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => {
    const [encoding, bomb] = bombs[i % bombs.length] ?? bombs[0];
    return send(encoding, bomb);
  }));
  expect(new Set(answers.map(({ status }) => status)).difference(new Set([413, 429]))).toEqual(new Set());
  // Unpacked they would be 3 GiB.
  expect(peakKiB() - before).toBeLessThan(96 * 1024);
});

test('nobody unpacks for a stranger', async () => {
  const answer = await send('gzip', Buffer.from('not even gzip'), '');
  expect([answer.status, ...faultsOfRefusal(answer, ['NoCapability'])]).toEqual([401]);
});
