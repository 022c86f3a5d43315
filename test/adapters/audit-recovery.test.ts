import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { TestSigner } from '../harness/log-signer.ts';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { describeFault } from '../../src/adapters/audit-check/faults.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { formatIdentity } from '../../src/adapters/log-keys/identity.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { eventOf } from '../contract/audit-log.ts';
import { entriesFrom } from '../harness/entries.ts';
import { dropFrame, editBundle, filesOf, flipBit, flipBitInJournal, swapInJournal, takeFrom, withPairSwapped, withoutTenth } from '../harness/harm.ts';
import { createTestSigner } from '../harness/log-signer.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-recovery-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (name: string): string => join(root, name);
const signer = createTestSigner();
const KID = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1';

async function openAt(directory: string, by: TestSigner = signer): Promise<Log> {
  return openLog({ storage: await openFileStorage(directory), signer: by, clock: systemClock, random: createSystemRandom(), options: { durability: 'disk', checkpointEveryOps: 5000 } });
}

function newDirectory(name: string, { origin }: TestSigner): string {
  mkdirSync(at(name), { mode: 0o700 });
  writeFileSync(join(at(name), 'identity.json'), formatIdentity({ instanceId: origin.replace(/.*\//, ''), createdAt: '2026-11-23T10:00:00.000Z' }));
  return at(name);
}

/** As a kill would leave it now. */
function leave(directory: string, as: string): void {
  cpSync(directory, at(as), { recursive: true });
  rmSync(join(at(as), 'lock'));
}

async function write(log: Log, groups: number): Promise<void> {
  for (let i = 0; i < groups; i++) await log.append(Array.from({ length: 10 }, (_, of) => ({ ...eventOf(`g${i}-${of}`), kid: KID })));
}

const SEALED = 601;
const COVERED = SEALED + 1 + 100;
const WRITTEN = COVERED + 50;

/** Of the checkpoint over entry 0 alone. */
let firstNote = '';

/** `stopped` at 601 entries and sealed there; `killed` later at 752, of which 702 are covered; `older` in between. And one of another instance. */
beforeAll(async () => {
  const directory = newDirectory('own', signer);
  const first = await openAt(directory);
  firstNote = first.checkpoint()?.note ?? '';
  await write(first, 60);
  await first.stop();
  cpSync(directory, at('stopped'), { recursive: true });
  const second = await openAt(directory);
  leave(directory, 'older');
  await write(second, 10);
  await second.checkpointNow();
  await write(second, 5);
  leave(directory, 'killed');
  await second.stop();
  const foreign = createTestSigner('ron-kms/01890000-0000-7000-8000-00000000ffff');
  const other = await openAt(newDirectory('other', foreign), foreign);
  await write(other, 70);
  leave(at('other'), 'other-killed');
  await other.stop();
});

let copies = 0;
function copyOf(state: string): string {
  const copy = at(`copy-${++copies}`);
  cpSync(at(state), copy, { recursive: true });
  return copy;
}

const check = (directory: string) => checkWholeLog({ directory, vkeys: signer.vkeys, jobs: 0 });

type Harm = (copy: string) => unknown;

describe('a log as a crash may leave it goes on, and all that was flushed is in it', () => {
  test.each<readonly [what: string, harm: Harm, size: number]>([
    ['as it is', () => undefined, WRITTEN],
    ['the last write is torn in its middle', (copy) => truncateSync(journalOf(copy), readFileSync(journalOf(copy)).length - 100), WRITTEN - 10],
    ['the last write is torn in its header', (copy) => truncateSync(journalOf(copy), framesEnd(copy, 1) + 7), WRITTEN - 10],
    ['a write that never came in full stands behind the last one', (copy) => appendFileSync(journalOf(copy), readFileSync(journalOf(copy)).subarray(0, 500)), WRITTEN],
    ['sectors of zeros stand behind the last write', (copy) => appendFileSync(journalOf(copy), Buffer.alloc(4096)), WRITTEN],
    ['the journal ends where the checkpoint does', (copy) => truncateSync(journalOf(copy), framesEnd(copy, 5)), COVERED],
    ['tiles that were not flushed are torn', (copy) => { for (const name of filesOf(copy).keys()) if (/\.p\/(190|446)$/.test(name)) truncateSync(join(copy, name), 100); }, WRITTEN],
    ['the state is damaged, and made anew from the entries', (copy) => flipBit(join(copy, 'state')), WRITTEN],
    ['the state is gone', (copy) => rmSync(join(copy, 'state')), WRITTEN],
    ['left-overs of a crash lie about', (copy) => { for (const name of ['checkpoint.tmp', 'state.tmp', 'journal/0000000000000700.tmp', 'journal/probe.tmp', 'lock.123']) writeFileSync(join(copy, name), 'half'); }, WRITTEN],
    ['the checkpoint is an older one, of which the journal has the rest', (copy) => takeFrom(at('older'), copy, 'checkpoint'), WRITTEN],
    ['the lock is half written', (copy) => writeFileSync(join(copy, 'lock'), '12'), WRITTEN],
  ])('%s', async (_what, harm, size) => {
    const copy = copyOf('killed');
    harm(copy);
    const log = await openAt(copy);
    expect(log.integrityFault()).toBeUndefined();
    expect((await entriesFrom(log)).at(-1)).toMatchObject({ op: 'checkpoint-start' });
    expect([log.size(), log.checkpoint()?.size]).toEqual([size + 1, size + 1]);
    await write(log, 1);
    await log.stop();
    expect(await check(copy)).toMatchObject({ ok: true, faults: [], size: size + 11 });
  });
});

/** The newest file of the journal. */
function journalOf(copy: string): string {
  return join(copy, 'journal', readdirSync(join(copy, 'journal')).toSorted().at(-1) ?? '');
}

/** Where the journal's frames end, but so many of the last. */
function framesEnd(copy: string, but: number): number {
  const journal = readFileSync(journalOf(copy));
  const ends: number[] = [];
  for (let at = 0; at < journal.length;) ends.push(at += 36 + journal.readUInt32BE(at + 16));
  return ends.at(-1 - but) ?? 0;
}

async function expectReadOnly(copy: string, says: RegExp): Promise<void> {
  const before = filesOf(copy);
  const log = await openAt(copy);
  expect(log.integrityFault()).toMatch(says);
  expect(log.isReady()).toBe(false);
  await expect(log.append([eventOf('x')])).rejects.toMatchObject({ code: 'AuditUnavailable' });
  await log.checkpointNow().catch(() => undefined);
  await log.stop();
  expect(filesOf(copy)).toEqual(before);
}

describe('a log that was harmed is opened for reading only, says what is wrong, and nothing in it is overwritten', () => {
  test.each<readonly [what: string, state: 'stopped' | 'killed', harm: Harm, says: RegExp]>([
    ['a bit in the journal is flipped', 'killed', flipBitInJournal, /^entry \d+: its frame in the journal is damaged, and a good one follows at entry \d+$/],
    ['a write is dropped from the journal', 'killed', dropFrame, /^entry \d+: the journal goes on with entry \d+ in its place$/],
    ['two entries of the journal are swapped', 'killed', swapInJournal, /^entry \d+: its key_seq is \d+, \d+ is next/],
    ['the journal is cut below the checkpoint', 'killed', (copy) => truncateSync(journalOf(copy), framesEnd(copy, 6)), /^entry 692: it is missing, though the checkpoint covers 702 entries$/],
    ['the journal is cut below the checkpoint, in the middle of a write', 'killed', (copy) => truncateSync(journalOf(copy), framesEnd(copy, 6) + 300), /^entry 692: it is missing, though the checkpoint covers 702 entries$/],
    ['the journal is of another instance', 'killed', (copy) => takeFrom(at('other-killed'), copy, 'journal'), /^entry \d+: /],
    ['the checkpoint is older than the seal', 'killed', (copy) => writeFileSync(join(copy, 'checkpoint'), firstNote), /^checkpoint: it covers 1 entries, but the log was sealed at 601: it is an older one$/],
    ['the checkpoint is gone', 'killed', (copy) => rmSync(join(copy, 'checkpoint')), /^checkpoint: it is missing, though the log was sealed at 601 entries$/],
    ['a bit of the checkpoint is flipped', 'killed', (copy) => flipBit(join(copy, 'checkpoint'), 0.9), /^checkpoint: /],
    ['the checkpoint is of another instance', 'killed', (copy) => takeFrom(at('other'), copy, 'checkpoint'), /^checkpoint: it is of another log, ron-kms\/.*ffff$/],
    ['all of it is of another instance', 'killed', (copy) => takeFrom(at('other'), copy, 'checkpoint', 'tile', 'journal', 'state'), /^checkpoint: it is of another log, ron-kms\/.*ffff$/],
    ['an entry of the sealed bundle at the edge is changed', 'stopped', (copy) => editBundle(join(copy, 'tile/entries/002.p/89'), withPairSwapped), /^entry 513: it is not the one in the tree$/],
    ['an entry of the sealed bundle at the edge is dropped', 'stopped', (copy) => editBundle(join(copy, 'tile/entries/002.p/89'), withoutTenth), /^entry 512: its bundle is missing or damaged$/],
    ['a bit of the sealed tile at the edge is flipped', 'stopped', (copy) => flipBit(join(copy, 'tile/0/002.p/89')), /^tile: the hashes at the right edge are not those of the log as it was sealed at 601 entries$/],
    ['the sealed tile at the edge is gone', 'stopped', (copy) => rmSync(join(copy, 'tile/0/002.p/89')), /^tile\/0: number 2 is missing or too short$/],
    ['the state is damaged, and a bit of an entry is flipped', 'stopped', (copy) => { flipBit(join(copy, 'state')); editBundle(join(copy, 'tile/entries/001'), withBitFlipped); }, /^entry \d+: |^checkpoint: the entries below 601 do not hash to its root$/],
  ])('%s', async (_what, state, harm, says) => {
    const copy = copyOf(state);
    harm(copy);
    await expectReadOnly(copy, says);
    expect((await check(copy)).ok).toBe(false);
  });

  test('the state is gone, and the entries that it stood for were pruned', async () => {
    const copy = copyOf('stopped');
    rmSync(join(copy, 'state'));
    writeFileSync(join(copy, 'minimum-index'), '256\n');
    await expectReadOnly(copy, /^state: it is missing or damaged, and the entries below 256 that it stood for are gone$/);
  });
});

describe('what a start does not look at, the whole check finds and names', () => {
  test.each<readonly [what: string, state: 'stopped' | 'killed', harm: Harm, says: RegExp]>([
    ['a bit of an old entry', 'stopped', (copy) => editBundle(join(copy, 'tile/entries/001'), withBitFlipped), /entry 261 \(tile\/entries\/001\)/],
    ['an old entry dropped', 'stopped', (copy) => editBundle(join(copy, 'tile/entries/001'), withoutTenth), /tile\/entries\/001/],
    ['two old entries swapped', 'stopped', (copy) => editBundle(join(copy, 'tile/entries/000'), withPairSwapped), /entry 1 \(tile\/entries\/000\)/],
    ['a bit of an old tile', 'stopped', (copy) => flipBit(join(copy, 'tile/0/001')), /tile\/0\/001/],
    ['an old bundle gone', 'stopped', (copy) => rmSync(join(copy, 'tile/entries/000')), /tile\/entries\/000/],
    ['an old bundle of another instance', 'stopped', (copy) => takeFrom(at('other'), copy, 'tile/entries/000'), /entry 0 \(tile\/entries\/000\)/],
  ])('%s', async (_what, state, harm, says) => {
    const copy = copyOf(state);
    harm(copy);
    const { ok, faults } = await check(copy);
    expect(ok).toBe(false);
    expect(faults.map(describeFault).join('\n')).toMatch(says);
  });
});

function withBitFlipped(entries: readonly Buffer[]): readonly Buffer[] {
  const changed = Buffer.from(entries[5] ?? '');
  changed.writeUInt8(changed.readUInt8(20) ^ 1, 20);
  return entries.with(5, changed);
}
