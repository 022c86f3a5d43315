import type { TestService } from '../harness/service.ts';
import { spawnSync } from 'node:child_process';
import { createReadStream, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blake3 } from '@noble/hashes/blake3.js';
import { createKey, LAUNCHER, startService, tokenOf } from '../harness/service.ts';
import { ronKms } from './ron-kms.ts';

const SIZE_BYTES = 100_000_000;
/** What a hundred times the memory of one part may cost in garbage; a file held whole would be far beyond. */
const SLACK_KIB = 24 * 1024;

let service: TestService;
let env: Record<string, string>;
let kid: string;
beforeAll(async () => {
  service = await startService();
  env = { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: tokenOf() };
  ({ kid } = await createKey(service) as { kid: string });
  writeFileSync(join(service.directory, 'big.bin'), 'begins');
  truncateSync(join(service.directory, 'big.bin'), SIZE_BYTES);
  writeFileSync(join(service.directory, 'small.bin'), 'begins');
});
afterAll(async () => { await service.stop(); });

test('a file of 100 MB is signed in flat memory, and its digest is the one that another implementation finds', async () => {
  const small = await ronKms(['sign', 'small.bin', '--kid', kid], { cwd: service.directory, env });
  const big = await ronKms(['sign', 'big.bin', '--kid', kid, '--json'], { cwd: service.directory, env });
  expect([small.code, big.code]).toEqual([0, 0]);
  expect(small.peakKiB).toBeGreaterThan(20_000);
  expect(big.peakKiB - small.peakKiB).toBeLessThan(SLACK_KIB);

  const hasher = blake3.create();
  for await (const chunk of createReadStream(join(service.directory, 'big.bin'), { end: 2_999_999 })) hasher.update(chunk as Buffer);
  writeFileSync(join(service.directory, 'three.bin'), '');
  truncateSync(join(service.directory, 'big.bin'), 3_000_000);
  const three = await ronKms(['sign', 'big.bin', '--kid', kid, '--json'], { cwd: service.directory, env });
  truncateSync(join(service.directory, 'big.bin'), SIZE_BYTES);
  expect(digestOf(three.out)).toBe(Buffer.from(hasher.digest()).toString('hex'));
});

test('so is what comes through a pipe, without its size being known', async () => {
  const line = `cat big.bin | "${LAUNCHER}" sign - --kid "${kid}" --json`;
  const piped = spawnSync('sh', ['-c', line], { cwd: service.directory, env: { PATH: process.env['PATH'], ...env } });
  const { out } = await ronKms(['sign', 'big.bin', '--kid', kid, '--json'], { cwd: service.directory, env });
  expect(digestOf(piped.stdout.toString())).toBe(digestOf(out));

  const substituted = spawnSync('bash', ['--norc', '-c', `"${LAUNCHER}" sign <(cat big.bin) --kid "${kid}" --json`], { cwd: service.directory, env: { PATH: process.env['PATH'], ...env } });
  expect(digestOf(substituted.stdout.toString())).toBe(digestOf(out));
});

test('a raw key says that it cannot take so much', async () => {
  const raw = await createKey(service, { input: 'raw' });
  const { code, err } = await ronKms(['sign', 'big.bin', '--kid', raw['kid'] as string, '--input', 'raw'], { cwd: service.directory, env });
  expect(code).toBe(2);
  expect(err).toContain('over 8 MiB: use a key with input b3');
});

test('a reader that goes away is no fault', () => {
  const line = `"${LAUNCHER}" keys get "${kid}" --json | { exec 0<&-; sleep 1; }; echo "\${PIPESTATUS[0]}"`;
  const ran = spawnSync('bash', ['--norc', '-c', line], { env: { PATH: process.env['PATH'], ...env } });
  expect(ran.stderr.toString()).toBe('');
  expect(ran.stdout.toString().trim()).toBe('0');
});

function digestOf(answer: string): string {
  return (JSON.parse(answer) as { payload_b3: string }).payload_b3;
}

test('--out onto what is no file writes to it, and puts nothing in its place: a pipe stays a pipe', async () => {
  const pipe = join(service.directory, 'pipe');
  spawnSync('mkfifo', [pipe]);
  const reader = createReadStream(pipe);
  const read = (async () => {
    let text = '';
    for await (const chunk of reader) text += String(chunk);
    return text;
  })();
  expect((await ronKms(['sign', 'small.bin', '--kid', kid, '--out', 'pipe'], { cwd: service.directory, env })).code).toBe(0);
  expect(JSON.parse(await read)).toMatchObject({ kid, sigs: expect.any(Array) });
  expect(statSync(pipe).isFIFO()).toBe(true);
});
