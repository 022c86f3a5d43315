import type { LogCheck } from '../../src/adapters/audit-check/check-log.ts';
import type { MadeLog, MadeLogOptions } from '../harness/made-log.ts';
import { cpSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { assert, asyncProperty, double, nat } from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { checkLogBehind } from '../../src/adapters/audit-check/check-behind.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { encodeBundle, splitBundle } from '../../src/core/log/tiles.ts';
import { makeLog } from '../harness/made-log.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-check-'));
let made = 0;
afterAll(() => rmSync(root, { recursive: true, force: true }));

function newLog(options?: MadeLogOptions): MadeLog {
  return makeLog(join(root, String(made++)), options);
}

/** A copy to spoil. */
function copyOf({ directory }: MadeLog): string {
  const copy = join(root, String(made++));
  cpSync(directory, copy, { recursive: true });
  return copy;
}

const check = ({ directory, vkeys }: Pick<MadeLog, 'directory' | 'vkeys'>, more: Partial<LogCheck> = {}) => checkWholeLog({ directory, vkeys, jobs: 0, ...more });

/** 1,300 entries and some behind the checkpoint: five full bundles, a partial one, a restart, an anchor, new keys. */
function usualLog(): MadeLog {
  const log = newLog();
  log.append(600);
  log.checkpoint();
  log.restart();
  log.anchor(1);
  log.rotate('scheduled');
  log.append(700);
  log.checkpoint();
  log.append(20);
  log.journal(log.size() - 60);
  return log;
}

describe('a log that nobody touched', () => {
  test('passes, and its entries hash to what was signed', async () => {
    const log = usualLog();
    const verdict = await check(log);
    expect(verdict).toMatchObject({ ok: true, faults: [], size: log.size(), minimumIndex: 0, openIntents: 0, origin: log.origin });
    expect(verdict.checkpoint?.signedBy).toEqual(log.newestKeys());
  });

  test.each([1, 2, 255, 256, 257, 512])('passes at %i entries', async (size) => {
    const log = newLog();
    if (size > 1) log.append(size - 1);
    log.checkpoint();
    expect(await check(log)).toMatchObject({ ok: true, faults: [], checkpoint: { timestampS: expect.any(Number) } });
  });

  test('passes the same by threads, which report how far they are', { timeout: 60_000 }, async () => {
    const log = newLog({ keys: 200 });
    log.append(66_500);
    log.checkpoint();
    const seen: number[] = [];
    const [here, threads, background] = [await check(log), await check(log, { jobs: 2, onProgress: (done) => seen.push(done) }), await checkLogBehind({ directory: log.directory, vkeys: log.vkeys.map(formatVkey) }, new AbortController().signal)];
    expect(here).toMatchObject({ ok: true, faults: [] });
    expect(threads).toEqual(here);
    expect(background).toEqual({ faults: here.faults, size: here.size });
    expect(seen).toHaveLength(2);

    const bundle = join(log.directory, 'tile/entries/258');
    flip(bundle, 5000);
    const [broken, resumed] = [await check(log, { jobs: 2 }), await check(log, { fromIndex: 65_536, jobs: 1 })];
    expect(broken.faults).toMatchObject([{ kind: 'entry', file: 'tile/entries/258', what: 'is not what was logged' }]);
    expect(resumed.faults).toEqual(broken.faults);
    expect(resumed.rootHash).toEqual(here.rootHash);
  });

  test('can be given up', async () => {
    const log = newLog();
    log.append(600);
    log.checkpoint();
    await expect(check(log, { jobs: 1, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

describe('every change to a file is found, and the file is named', () => {
  let log: MadeLog;
  let files: string[];
  let size: number;
  beforeAll(() => {
    log = usualLog();
    size = log.size();
    files = readdirSync(log.directory, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => relative(log.directory, join(one.parentPath, one.name)));
  });

  const changes: Readonly<Record<string, (path: string, at: number, other: string) => boolean>> = {
    flipped(path, at) {
      flip(path, Math.floor(at * statSync(path).size));
      return true;
    },
    cut(path, at) {
      truncateSync(path, Math.floor(at * statSync(path).size));
      return true;
    },
    deleted(path) {
      rmSync(path);
      return true;
    },
    swapped(path, _at, other) {
      if (readFileSync(path).equals(readFileSync(other))) return false;
      renameSync(path, `${path}.swapping`);
      renameSync(other, path);
      renameSync(`${path}.swapping`, other);
      return true;
    },
  };

  test.each(Object.keys(changes))('%s', { timeout: 60_000 }, async (kind) => {
    await assert(asyncProperty(nat(), nat(), double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), async (a, b, at) => {
      const path = files[a % files.length] ?? '';
      const other = files[b % files.length] ?? '';
      const directory = copyOf(log);
      const isChanged = changes[kind]?.(join(directory, path), at, join(directory, other)) === true;
      const verdict = await check({ directory, vkeys: log.vkeys });
      rmSync(directory, { recursive: true });
      if (!isChanged || isOutside(path, kind, verdict.size < size)) return;
      if (path === 'checkpoint' && kind === 'flipped' && isInSigner(readFileSync(join(log.directory, path)), at)) return;
      expect(verdict.ok, path).toBe(false);
      const named = kind === 'swapped' ? [path, other] : [path];
      expect(verdict.faults.some(({ file = '' }) => named.some((one) => one === file || (one.startsWith('journal/') && file.startsWith('journal')))), `${path}: ${JSON.stringify(verdict.faults)}`).toBe(true);
    }), { numRuns: 60 });
  });
});

describe('damage by its name', () => {
  let log: MadeLog;
  beforeAll(() => { log = usualLog(); });

  test.each<[string, (entries: Buffer[]) => Buffer[], object]>([
    ['a flipped bit', (all) => all.with(44, Buffer.from(String(all[44]).replace('core', 'cord'))), { kind: 'entry', index: 300, what: 'is not what was logged' }],
    ['a dropped entry', (all) => all.toSpliced(44, 1), { kind: 'entry', index: 300, what: 'was dropped' }],
    ['an added entry', (all) => all.toSpliced(44, 0, Buffer.from('{}')), { kind: 'entry', index: 300, what: 'was put in; it is not of this log' }],
    ['a swapped pair', (all) => all.with(44, all[50] as Buffer).with(50, all[44] as Buffer), { kind: 'entry', index: 300, what: 'has changed places with entry 306' }],
    ['a truncated tail', (all) => all.slice(0, 44), { kind: 'entry', index: 300, what: 'is missing: the file ends before it' }],
    ['entries of another instance', (all) => all.map((entry) => Buffer.from(String(entry).replace('boot_id":"', 'boot_id":"f'))), { kind: 'entry', index: 256, what: 'is not of this log, nor is any other in the file' }],
  ])('%s', async (_name, change, fault) => {
    const directory = copyOf(log);
    edit(join(directory, 'tile/entries/001'), change);
    expect((await check({ directory, vkeys: log.vkeys })).faults).toMatchObject([{ ...fault, file: 'tile/entries/001' }]);
  });

  test('a changed entry and the hash that would give it away', async () => {
    const directory = copyOf(log);
    const other = newLog({ seed: 2 });
    other.append(1400);
    other.checkpoint();
    for (const tile of ['entries', '0']) cpSync(join(other.directory, 'tile', tile, '001'), join(directory, 'tile', tile, '001'));
    const { faults } = await check({ directory, vkeys: log.vkeys });
    expect(faults).toContainEqual({ kind: 'tile', file: 'tile/1/000.p/5', what: 'hash 1 is not that of tile/0/001' });
    expect(faults).toContainEqual({ kind: 'checkpoint', file: 'checkpoint', what: 'has another root than the tree of the entries' });
  });
});

describe('what entries say is held against each other', () => {
  const KID = 'core/audit/ed25519/0193e2b0-0000-7000-8000-000000000000#v1';

  test.each<[string, (log: MadeLog) => void, object[]]>([
    ['time that goes back', (log) => log.add({}, { ts: '2026-11-23T09:59:59.000Z' }), [{ kind: 'clock', index: 11, what: expect.stringContaining('is before 2026-11-23T10:00:00.010Z of entry 10') }]],
    ['a monotonic clock that goes back', (log) => log.add({}, { mono_ns: '999' }), [{ kind: 'clock', index: 11 }]],
    ['a hole in the count of a key', (log) => {
      log.add({ kid: KID });
      log.add({ kid: KID }, { key_seq: 3 });
    }, [{ kind: 'key-seq', index: 12, what: expect.stringContaining('has key_seq 3 after 1') }]],
    ['a key that does not begin with 1', (log) => log.add({ kid: KID }, { key_seq: 2 }), [{ kind: 'key-seq', index: 11 }]],
    ['another version that counts anew', (log) => {
      log.add({ kid: KID });
      log.add({ kid: KID.replace('#v1', '#v2') }, { key_seq: 1 });
    }, [{ kind: 'key-seq', index: 12 }]],
    ['a key store that goes back', (log) => {
      log.add({ generation: 5 });
      log.add({ generation: 4 });
    }, [{ kind: 'generation', index: 12 }]],
    ['an intent that the next process did not settle', (log) => {
      log.add({ op: 'rotate', op_id: 'r1', result: 'intent' });
      log.restart();
      log.append(3);
    }, [{ kind: 'intent', index: 11, what: 'the intent to rotate was never settled' }]],
    ['a process that comes back', (log) => {
      log.add({}, { boot_id: 'one' });
      log.add({}, { boot_id: 'two' });
      log.add({}, { boot_id: 'one' });
    }, [{ kind: 'clock', index: 13 }]],
    ['JSON that is not canonical', (log) => log.addRaw('{"v": 1}'), [{ kind: 'form', index: 11, what: 'is not canonical JSON' }]],
    ['another version of entries', (log) => log.addRaw('{"v":2}'), [{ kind: 'form', index: 11, what: 'is of version 2' }]],
    ['what is no JSON', (log) => log.addRaw('entry'), [{ kind: 'form', index: 11, what: 'is not JSON' }]],
    ['a head that the log never had', (log) => log.add({ op: 'checkpoint-start', detail: { checkpoint: { size: 7, root_hash: Buffer.alloc(32).toString('base64') } } }), [{ kind: 'checkpoint', index: 11, what: 'names another root over the first 7 entries' }]],
  ])('%s', async (_name, spoil, faults) => {
    const log = newLog();
    log.append(10);
    spoil(log);
    log.checkpoint();
    expect((await check(log)).faults).toMatchObject(faults);
  });

  test('an intent whose outcome is still to come is none', async () => {
    const log = newLog();
    log.append(10);
    log.add({ op: 'rotate', op_id: 'r1', result: 'intent' });
    log.checkpoint();
    expect(await check(log)).toMatchObject({ ok: true, openIntents: 1 });
    log.restart();
    log.add({ op: 'rotate', op_id: 'r1', result: 'Internal', reason: 'settled at start' });
    log.append(5);
    log.checkpoint();
    expect(await check(log)).toMatchObject({ ok: true, openIntents: 0 });
  });

  test('order is followed from one range to the next', { timeout: 60_000 }, async () => {
    const log = newLog();
    log.add({ kid: KID });
    log.add({ op: 'rotate', op_id: 'r1', result: 'intent' });
    log.append(65_600);
    log.add({ kid: KID }, { key_seq: 3 });
    log.add({ op: 'rotate', op_id: 'r1' });
    log.append(500);
    log.checkpoint();
    const verdict = await check(log, { jobs: 2 });
    expect(verdict).toMatchObject({ openIntents: 0, faults: [{ kind: 'key-seq', what: expect.stringContaining('has key_seq 3 after 1') }] });
    expect((await check(log)).faults).toMatchObject(verdict.faults);
  });
});

describe('keys', () => {
  test('are followed from those that init printed', async () => {
    for (const log of [rotated('scheduled', 'all'), rotated('scheduled', 'newest')]) {
      expect(await check(log)).toMatchObject({ ok: true, faults: [] });
      expect(await check({ ...log, vkeys: log.newestKeys() })).toMatchObject({ ok: true, faults: [] });
    }
  });

  test('after a compromise are believed only where they are pinned themselves', async () => {
    const log = rotated('compromised', 'newest');
    expect((await check(log)).faults).toMatchObject([{ kind: 'checkpoint' }]);
    expect(await check({ ...log, vkeys: log.newestKeys() })).toMatchObject({ ok: true, faults: [] });
    expect(await check({ ...log, vkeys: [...log.vkeys, ...log.newestKeys()] })).toMatchObject({ ok: true });
  });

  test('go on for their overlap, and not when they were compromised', async () => {
    expect(await check(rotated('scheduled', 'oldest'))).toMatchObject({ ok: true });
    expect((await check(rotated('compromised', 'oldest'))).faults).toMatchObject([{ kind: 'checkpoint', file: 'checkpoint' }]);
  });

  test('that the ones before did not sign are not believed', async () => {
    const { faults } = await check(rotated('scheduled', 'newest', true));
    expect(faults).toMatchObject([{ kind: 'log-keys', index: 11, what: expect.stringContaining('is not signed by') }, { kind: 'checkpoint' }]);
  });

  test('of another log are told, and one of a pair is not enough', async () => {
    const log = rotated('scheduled', 'all');
    const other = newLog({ instanceId: '01890000-0000-7000-8000-00000000bbbb' });
    expect((await check({ ...log, vkeys: other.vkeys })).faults[0]).toMatchObject({ kind: 'instance', what: `is of ${log.origin}, and the pinned keys are of ${other.origin}` });
    const sameName = newLog();
    expect((await check({ ...log, vkeys: [log.vkeys[0], sameName.vkeys[1]].filter((key) => key !== undefined) })).faults).toMatchObject([{ kind: 'checkpoint' }]);
    expect(await check({ ...log, vkeys: log.vkeys.slice(0, 1) })).toMatchObject({ ok: true });
  });

  test('a checkpoint of another log in its place is told', async () => {
    const log = rotated('scheduled', 'all');
    const other = newLog({ instanceId: '01890000-0000-7000-8000-00000000bbbb' });
    other.append(20);
    writeFileSync(join(log.directory, 'checkpoint'), other.checkpoint());
    expect((await check(log)).faults).toContainEqual({ kind: 'instance', file: 'identity.json', what: `is of ${log.origin}, and the checkpoint is of ${other.origin}` });
  });
});

describe('an older state', () => {
  test('of the checkpoint alone is seen', async () => {
    const { log, saved } = twice();
    writeFileSync(join(log.directory, 'checkpoint'), saved);
    expect((await check(log)).faults).toMatchObject([{ kind: 'rolled-back', file: 'checkpoint' }]);
  });

  test('of the whole directory is seen with a checkpoint that was saved', async () => {
    const { log, older, saved, newest } = twice();
    expect(await check(log, { known: { checkpoint: saved } })).toMatchObject({ ok: true });
    const { faults } = await check({ ...log, directory: older }, { known: { checkpoint: newest } });
    expect(faults).toMatchObject([{ kind: 'rolled-back', what: expect.stringContaining('an older copy of the log was restored') }]);
    expect(await check({ ...log, directory: older })).toMatchObject({ ok: true });
  });

  test('and of a log that was replaced by another of the same keys', async () => {
    const { log, saved } = twice();
    const { head, ...anchor } = { ...headOf(saved), value: 2 };
    expect(await check(log, { known: { anchor: { ...anchor, head } } })).toMatchObject({ ok: true });
    const { faults } = await check(log, { known: { anchor: { ...anchor, head: { ...head, rootHash: Buffer.alloc(32) } } } });
    expect(faults).toMatchObject([{ kind: 'rolled-back', what: expect.stringContaining('the log was replaced') }]);
  });

  test.each([[3, 'an older copy of the log'], [2, undefined], [1, undefined], [0, 'an older copy of the anchor']])('is seen with an anchor at %i', async (value, why) => {
    const { log, saved } = twice();
    const { faults } = await check(log, { known: { anchor: { ...headOf(saved), value } } });
    expect(faults).toMatchObject(why === undefined ? [] : [{ kind: 'rolled-back', what: expect.stringContaining(why) }]);
  });

  test('a journal that begins behind the checkpoint says so too', async () => {
    const { log, saved } = twice();
    log.append(5);
    log.journal();
    writeFileSync(join(log.directory, 'checkpoint'), saved);
    expect((await check(log)).faults).toContainEqual(expect.objectContaining({ kind: 'rolled-back' }));
  });
});

test('a pruned log is checked by its hashes, and by its entries from there on', async () => {
  const log = usualLog();
  for (const bundle of ['000', '001', '002']) rmSync(join(log.directory, 'tile/entries', bundle));
  expect((await check(log)).faults[0]).toMatchObject({ kind: 'missing', index: 0, file: 'tile/entries/000' });
  writeFileSync(join(log.directory, 'minimum-index'), '768\n');
  // The change of keys was in what is gone: the ones of now are to be pinned.
  expect(await check({ ...log, vkeys: log.newestKeys() })).toMatchObject({ ok: true, faults: [], minimumIndex: 768 });
  expect((await check({ ...log, vkeys: log.newestKeys() }, { jobs: 1 })).ok).toBe(true);
  expect(await check(log)).toMatchObject({ ok: true, faults: [] });
  flip(join(log.directory, 'tile/0/001'), 64);
  expect((await check(log)).faults).toMatchObject([{ kind: 'tile' }, { kind: 'checkpoint' }]);
});

test('bundles that name the log\'s keys are left by a prune, and lead from the first keys to those of now', async () => {
  const log = newLog();
  log.append(300);
  log.add({ op: 'rotate', op_id: 'r1', result: 'intent' });
  log.rotate('scheduled');
  log.append(250);
  log.add({ op: 'rotate', op_id: 'r1', result: 'ok' });
  log.append(700);
  log.checkpoint('newest');
  rmSync(join(log.directory, 'tile/entries/002'));
  writeFileSync(join(log.directory, 'minimum-index'), '768\n');
  for (const jobs of [0, 1]) expect(await check(log, { jobs })).toMatchObject({ ok: true, faults: [], minimumIndex: 768, openIntents: 0 });
  rmSync(join(log.directory, 'tile/entries/001'));
  expect((await check(log)).faults).toMatchObject([{ kind: 'checkpoint', file: 'checkpoint' }]);
});

function rotated(reason: 'scheduled' | 'compromised', by: 'all' | 'newest' | 'oldest', isUnsigned = false): MadeLog {
  const log = newLog();
  log.append(10);
  log.rotate(reason, { isUnsigned });
  log.append(10);
  log.checkpoint(by);
  return log;
}

function twice() {
  const log = newLog();
  log.append(300);
  log.anchor(1);
  const saved = log.checkpoint();
  const older = copyOf(log);
  log.append(300);
  log.anchor(2);
  log.append(5);
  const newest = log.checkpoint();
  return { log, saved, older, newest };
}

function headOf(note: string) {
  const [origin = '', size, root = ''] = note.split('\n');
  return { origin, head: { size: Number(size), rootHash: Buffer.from(root, 'base64') } };
}


/** Nobody signs when the log was made; and what the journal has behind the checkpoint may always be a write that a crash cut off. */
function isOutside(path: string, kind: string, isShorter: boolean): boolean {
  return (path === 'identity.json' && kind === 'flipped') || (path.startsWith('journal/') && (isShorter || kind === 'deleted'));
}

/** In the name or key id of a signature line: it is then of somebody whom nobody knows, as a note may have, and while old and new keys sign the others are enough. */
function isInSigner(note: Buffer, at: number): boolean {
  const ID_CHARS = 5;
  const offset = Math.floor(at * note.length);
  const start = note.lastIndexOf('\n', offset - 1) + 1;
  const line = note.subarray(start, note.indexOf('\n', start));
  const dash = Buffer.from('— ');
  if (!line.subarray(0, dash.length).equals(dash)) return false;
  const space = start + line.indexOf(' ', dash.length);
  return offset >= start + dash.length && offset !== space && offset <= space + ID_CHARS;
}

function edit(path: string, change: (entries: Buffer[]) => Buffer[]): void {
  writeFileSync(path, encodeBundle(change(splitBundle(readFileSync(path)) ?? [])));
}

/** Changes one bit of a byte. */
function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 0x01;
  writeFileSync(path, bytes);
}
