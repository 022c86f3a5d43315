import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { checkReceipt, parseVkey, verifyCheckpointNote } from '../../client/src/index.ts';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { ROOT } from '../architecture/source-files.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, receiptOf, signBatch } from '../harness/file-service.ts';
import { writeLogDirectory } from '../harness/log-directory.ts';
import { call, createKey } from '../harness/service.ts';
import { eventually } from '../harness/poll.ts';
import { nobleAccepts, slowLogKeys } from '../harness/slow-log.ts';

const work = mkdtempSync(join(tmpdir(), 'ron-kms-log-peers-'));
afterAll(async () => {
  await endInstances();
  rmSync(work, { recursive: true, force: true });
});

/** Go's own sumdb packages behind a small program of ours. */
const peer = join(work, 'go-sumdb');
const isThere = spawnSync('go', ['build', '-o', peer, '.'], { cwd: join(ROOT, 'test/peers/go-sumdb'), stdio: 'ignore', timeout: 120_000 }).status === 0;
if (!isThere) console.warn('SKIPPED: the second reader of the log is missing; install Go 1.18 or later (https://go.dev/dl, or apt-get install golang-go), and let it fetch golang.org/x/mod: go -C test/peers/go-sumdb mod download');

const ORIGIN = 'ron-kms/01932c07-2b4e-7c55-9a2f-0123456789ab';
const TIME = 1_790_000_000;
const keys = slowLogKeys(ORIGIN, 1);

function directory(name: string, size: number) {
  const dir = join(work, name);
  const entries = Array.from({ length: size }, (_, i) => Buffer.from(JSON.stringify({ op: 'sign', op_id: `op-${i}`, v: 1 })));
  return { dir, log: writeLogDirectory(dir, entries, keys, TIME) };
}

/** What the peer says, line by line; its complaint where it refuses. */
function read(dir: string, ...more: readonly string[]): readonly string[] {
  return readWith(keys.vkeys[0], dir, ...more);
}

function readWith(vkey: string, dir: string, ...more: readonly string[]): readonly string[] {
  const { stdout, stderr, status } = spawnSync(peer, [dir, vkey, ...more], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().split('\n') : [...stdout.trim().split('\n'), stderr.trim()];
}

describe.skipIf(!isThere)('the log, read by Go\'s sumdb/note and sumdb/tlog', () => {
  test.each([[1, 1], [256, 2], [700, 4], [66_000, 261]])('of %i entries: the Ed25519 signature, every entry, all %i tiles and receipts hold', async (size, tiles) => {
    const { dir, log } = directory(`of-${size}`, size);
    const [, , root] = log.note.split('\n');
    const receipt = join(work, 'receipt');
    for (const index of [0, Math.floor(size / 2), size - 1]) {
      writeFileSync(receipt, await log.receipt(index));
      expect(read(dir, receipt)).toEqual([`OK checkpoint ${size} ${root}`, `OK entries ${size}`, `OK tiles ${tiles}`, 'OK tile reader', `OK receipt ${index}`]);
    }
  });

  test('is refused by it when a bit is wrong in any part, so it does look', async () => {
    const { dir, log } = directory('spoiled', 700);
    const receipt = join(work, 'spoiled-receipt');
    writeFileSync(receipt, (await log.receipt(3)).replace('index 3', 'index 4'));
    expect(read(dir, receipt).at(-1)).toMatch(/^FAILED: /);
    for (const [path, said] of [['checkpoint', 'FAILED: invalid signature'], ['tile/entries/001', 'OK checkpoint'], ['tile/0/001', 'OK entries'], ['tile/1/000.p/2', 'OK entries']] as const) {
      const whole = readFileSync(join(dir, path));
      // In the checkpoint: a digit of the size.
      const at = path === 'checkpoint' ? whole.indexOf('\n') + 1 : 20;
      writeFileSync(join(dir, path), Buffer.concat([whole.subarray(0, at), Buffer.of(whole.readUInt8(at) ^ 1), whole.subarray(at + 1)]));
      const lines = read(dir);
      expect(lines.at(-1)).toMatch(/^FAILED: /);
      expect(lines.join('\n')).toContain(said);
      writeFileSync(join(dir, path), whole);
    }
    renameSync(join(dir, 'tile/0/000'), join(dir, 'tile/0/000.away'));
    expect(read(dir).at(-1)).toMatch(/^FAILED: .*no such file/);
  });
});

describe('the log, read by noble and by the published client', () => {
  test('the ML-DSA-44 signature and a receipt hold', async () => {
    const { log } = directory('client', 300);
    const vkeys = keys.vkeys.map((vkey) => parseVkey(vkey)).filter((key) => key !== undefined);
    expect(vkeys[1] && nobleAccepts(log.note, vkeys[1])).toBe(true);
    expect(checkReceipt(await log.receipt(299), vkeys)).toMatchObject({ ok: true, index: 299, fields: { op_id: 'op-299' }, timestampS: TIME });
  });
});

describe('the log of a real service, whose keys change twice, read by all of them', () => {
  let instance: FileInstance;
  let service: Serving;
  /** Ed25519 and ML-DSA-44, of `init` and of each change. */
  const sets: (readonly [string, string])[] = [];
  /** Entries of before the first change, between the two, and after the second. */
  const signed: number[] = [];

  beforeAll(async () => {
    mkdirSync(join(work, 'real'));
    instance = await initInstance(join(work, 'real'));
    sets.push(instance.vkeys.map(formatVkey) as [string, string]);
    service = await instance.start();
    signed.push(await use());
  });

  /** A few hundred operations of every kind; gives the index of the last, which a checkpoint covers by then. */
  async function use(): Promise<number> {
    const { kid } = await createKey(service) as { kid: string };
    const { kid: wrapping } = await createKey(service, { alg: 'x25519+ml-kem' }) as { kid: string };
    await signBatch(service, kid);
    const { body: { sigs } } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    await call(service, 'POST', '/verify', { kid, payload_b3: 'cd'.repeat(32), sigs });
    const { wrapped_b64 } = (await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 })).body;
    await call(service, 'POST', '/unwrap', { wrapped_b64 });
    await call(service, 'POST', `/keys/${encodeURIComponent(kid)}/disable`, {});
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(409);
    const { kid: last } = await createKey(service, { labels: { team: 'ünï' } }) as { kid: string };
    const { body: { audit } } = await call(service, 'POST', '/sign', { kid: last, payload_b3: DIGEST });
    await receiptOf(service, audit.index);
    return audit.index as number;
  }

  async function changeKeys(body: object): Promise<void> {
    const answer = await call(service, 'POST', '/admin/log-keys', body, OPERATOR);
    expect(answer.status).toBe(200);
    sets.push(answer.body['keys']);
    signed.push(await use());
  }

  /** Every one of them finds the note, the tiles and receipts good with these sets, and not with the others. */
  async function expectRead(good: readonly number[]): Promise<void> {
    const note = readFileSync(join(instance.auditDir, 'checkpoint'), 'utf8');
    const [, size = '', root] = note.split('\n');
    const receipts = await Promise.all(signed.map((index) => receiptOf(service, index)));
    for (const [i, [ed25519, mlDsa]] of sets.entries()) {
      const isGood = good.includes(i);
      const pair = [ed25519, mlDsa].flatMap((vkey) => parseVkey(vkey) ?? []);
      expect(pair).toHaveLength(2);
      expect([i, pair[1] && nobleAccepts(note, pair[1])]).toEqual([i, isGood]);
      for (const [at, text] of receipts.entries()) {
        expect([i, checkReceipt(text, pair).ok]).toEqual([i, isGood]);
        expect([i, pair[1] && nobleAccepts(text.slice(text.indexOf('\n\n') + 2), pair[1])]).toEqual([i, isGood]);
        if (!isThere) continue;
        writeFileSync(join(work, 'real-receipt'), text);
        const said = readWith(ed25519, instance.auditDir, join(work, 'real-receipt'));
        if (isGood) expect(said).toEqual([`OK checkpoint ${size} ${root}`, `OK entries ${size}`, expect.stringMatching(/^OK tiles \d+$/), 'OK tile reader', `OK receipt ${signed[at]}`]);
        else expect(said.at(-1)).toMatch(/^FAILED: /);
      }
    }
  }

  test('as init made them', () => expectRead([0]));

  test('in their overlap: both sets sign', async () => {
    await changeKeys({});
    await expectRead([0, 1]);
  });

  test('after a compromise: the newest set alone', async () => {
    await changeKeys({ compromised: true });
    await expectRead([2]);
  });

  test('and once more when it has stopped and started', async () => {
    expect(await service.end('SIGTERM')).toBe(0);
    service = await instance.start();
    await expectRead([2]);
  });
});

test('what the service gives to follow a change of its keys by is signed by both sets', async () => {
  mkdirSync(join(work, 'changed'));
  const instance = await initInstance(join(work, 'changed'));
  const service = await instance.start({ flags: ['--audit-key-overlap', '3s'] });
  const { body: { keys: next } } = await call(service, 'POST', '/admin/log-keys', {}, OPERATOR);
  const note = await eventually('the overlap is over', 10_000, async () => {
    const { body } = await call(service, 'GET', '/audit/keys', undefined, OPERATOR);
    return (body['keys'] as { transition_checkpoint?: string }[]).find((key) => key.transition_checkpoint !== undefined)?.transition_checkpoint;
  });
  for (const [ed25519, mlDsa] of [instance.vkeys, (next as string[]).flatMap((vkey) => parseVkey(vkey) ?? [])]) {
    expect(mlDsa && nobleAccepts(note, mlDsa)).toBe(true);
    expect(verifyCheckpointNote(note, [ed25519, mlDsa].filter((key) => key !== undefined))).toMatchObject({ signedBy: [{ type: 1 }, { type: 6 }] });
  }
});
