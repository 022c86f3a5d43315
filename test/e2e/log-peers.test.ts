import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkReceipt, parseVkey } from '../../client/src/index.ts';
import { ROOT } from '../architecture/source-files.ts';
import { writeLogDirectory } from '../harness/log-directory.ts';
import { nobleAccepts, slowLogKeys } from '../harness/slow-log.ts';

const work = mkdtempSync(join(tmpdir(), 'ron-kms-log-peers-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

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
  const { stdout, stderr, status } = spawnSync(peer, [dir, keys.vkeys[0], ...more], { encoding: 'utf8' });
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
