import type { MadeLog } from '../harness/made-log.ts';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { encodeAnchorRecord } from '../../src/adapters/anchor-file/record.ts';
import { inEntries } from '../../src/cli/progress.ts';
import { makeLog } from '../harness/made-log.ts';
import { ronKms, showsStack } from './ron-kms.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-audit-'));
const at = (name: string): string => join(root, name);
afterAll(() => rmSync(root, { recursive: true, force: true }));

const audit = (line: string, options: Parameters<typeof ronKms>[1] = {}) => ronKms(['audit', ...line.split(' ')], { cwd: root, ...options });
const json = async (line: string): Promise<Record<string, any>> => JSON.parse((await audit(`${line} --json`)).out) as Record<string, any>;
const lines = async (line: string): Promise<readonly Record<string, any>[]> => (await audit(`${line} --json`)).out.split('\n').filter((text) => text !== '').map((text) => JSON.parse(text) as Record<string, any>);

/** A log below the test's directory, with what `init --json` printed of it beside. */
function newLog(name: string, options: { readonly seed?: number; readonly instanceId?: string } = {}): MadeLog {
  const log = makeLog(at(name), options);
  writeFileSync(at(`${name}.keys`), JSON.stringify({ origin: log.origin, keys: log.vkeys.map((key) => ({ vkey: formatVkey(key) })) }));
  return log;
}

/** The check offline has no key for the MAC. */
function unauthenticated(): Buffer {
  return Buffer.alloc(32);
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(at(path));
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(at(path), bytes);
}

let log: MadeLog;
let saved: string;
/** Entries under the newest checkpoint. */
let covered: number;
beforeAll(() => {
  log = newLog('log');
  log.append(600);
  log.anchor(1);
  saved = log.checkpoint();
  writeFileSync(at('saved'), saved);
  log.append(100);
  log.checkpoint();
  covered = log.size();
  log.append(20);
  log.journal(650);
});

describe('audit verify', () => {
  test('says of a log that nobody touched who signed it and how far', async () => {
    const { code, out, err } = await audit('verify log --keys log.keys');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const part of [`the log ${log.origin} is as it was signed`, `entries    ${log.size()}`, `checkpoint over ${covered}, signed at 2026-11-23T`, 'Ed25519', 'ML-DSA-44']) expect(out).toContain(part);
    expect(await json('verify log --keys log.keys --jobs 2')).toMatchObject({ ok: true, origin: log.origin, size: log.size(), minimum_index: 0, faults: [], checkpoint: { size: covered, signed_by: log.vkeys.map(formatVkey) } });
  });

  test('takes keys one by one, or a line each, and says when one kind is missing', async () => {
    const [ed = '', ml = ''] = log.vkeys.map(formatVkey);
    expect((await ronKms(['audit', 'verify', at('log'), '--vkey', ed, '--vkey', ml])).code).toBe(0);
    writeFileSync(at('lines.keys'), `${ed}\n\n${ml}\n`);
    expect((await audit('verify log --keys lines.keys')).err).toBe('');
    writeFileSync(at('rotated.keys'), JSON.stringify({ keys: [ed, ml], until: null }));
    expect((await audit('verify log --keys rotated.keys')).err).toBe('');
    const one = await ronKms(['audit', 'verify', at('log'), '--vkey', ed]);
    expect(one).toMatchObject({ code: 0, err: expect.stringContaining('only the Ed25519 key of the log was given') });
  });

  test('finds the directory by the settings', async () => {
    mkdirSync(at('home'));
    writeFileSync(at('home/kms.toml'), `[service]\nbackend = "inmem"\n[audit]\ndir = "${at('log')}"\n`);
    expect((await audit('verify --keys ../log.keys', { cwd: at('home') })).code).toBe(0);
    expect((await audit('verify --keys log.keys --config home/kms.toml')).code).toBe(0);
    expect(await audit('verify --keys log.keys')).toMatchObject({ code: 2, err: expect.stringContaining('there is no directory') });
  });

  test('without keys says where to get them, and takes none from what it checks', async () => {
    const { code, err } = await audit('verify log');
    expect(code).toBe(2);
    expect(err).toMatch(/the keys of the log are missing: .*init --json/);
  });

  test.each([['a bit of an entry', 'tile/entries/001', 4000, /^entry \d+ \(tile\/entries\/001\): is not what was logged$/m], ['a hash', 'tile/0/000', 40, /^tile\/0\/000: hash 1 is not that of its entry$/m], ['the checkpoint', 'checkpoint', 60, /^checkpoint: /m]] as const)('%s flipped: told by entry or file, and the exit code says no', async (_what, file, offset, says) => {
    const spoilt = newLog('spoilt');
    spoilt.append(700);
    spoilt.checkpoint();
    flip(`spoilt/${file}`, offset);
    const { code, out, err } = await audit('verify spoilt --keys spoilt.keys');
    expect({ code, err }).toEqual({ code: 3, err: '' });
    expect(out).toMatch(says);
    expect(out).toContain('is NOT what was signed');
    const verdict = await json('verify spoilt --keys spoilt.keys');
    expect(verdict).toMatchObject({ ok: false, fault_count: verdict['faults'].length });
    rmSync(at('spoilt'), { recursive: true });
  });

  test('an older copy is seen with a checkpoint, an anchor or a generation from elsewhere', async () => {
    const old = newLog('old');
    old.append(300);
    old.checkpoint();
    expect((await audit('verify log --keys log.keys --known-checkpoint saved')).code).toBe(0);
    const [, size, rootText = ''] = saved.split('\n');
    const head = { treeSize: Number(size), rootHash: Buffer.from(rootText, 'base64') };
    writeFileSync(at('anchor'), encodeAnchorRecord({ origin: log.origin, value: 1, head }, unauthenticated));
    expect((await audit('verify log --keys log.keys --anchor anchor')).code).toBe(0);
    writeFileSync(at('newer-anchor'), encodeAnchorRecord({ origin: log.origin, value: 2, head }, unauthenticated));
    expect(await audit('verify log --keys log.keys --anchor newer-anchor')).toMatchObject({ code: 3, out: expect.stringContaining('the anchor has the value 2') });
    writeFileSync(at('far'), readFileSync(at('log/checkpoint')));
    expect(await audit('verify old --keys old.keys --known-checkpoint far')).toMatchObject({ code: 3, out: expect.stringContaining('the saved checkpoint') });

    const generation = (await lines('grep --dir log --op patch --result ok')).at(-1)?.['entry'].generation as number;
    expect((await audit(`verify log --keys log.keys --store-generation ${generation}`)).code).toBe(0);
    expect(await audit(`verify log --keys log.keys --store-generation ${generation - 1}`)).toMatchObject({ code: 3, out: expect.stringContaining('an older copy of the store was restored') });
    expect(await audit(`verify log --keys log.keys --store-generation ${generation + 1}`)).toMatchObject({ code: 3, out: expect.stringContaining('an older copy of the log was restored') });
  });

  test('tells a terminal how far it is, how fast, and how long it will take', () => {
    expect(inEntries({ done: 500, total: 1000, elapsedMs: 2000 })).toBe('[############------------] 50 %, 250 entries/s, 2 seconds left');
    expect(inEntries({ done: 500, total: undefined, elapsedMs: 1000 })).toBe('500 entries, 500 entries/s');
  });
});

describe('reading the files', () => {
  test('tail shows the newest, those behind the checkpoint too', async () => {
    const { code, out } = await audit('tail --dir log -n 3');
    expect(code).toBe(0);
    expect(out.trimEnd().split('\n').map((line) => Number(line.trim().split(' ')[0]))).toEqual([-3, -2, -1].map((back) => log.size() + back));
    expect(out).toMatch(/^ +\d+ {2}2026-11-23T10:00:00\.\d{3}Z {2}sign +ok +core\/audit\/ed25519\/.* by ci from 127\.0\.0\.1 \(#\d+ of its key\)$/m);
    expect(await lines('tail --dir log --lines 2 --op patch --result ok')).toMatchObject([{ entry: { op: 'patch' } }, { entry: { op: 'patch' } }]);
    expect((await audit('tail --dir log -n 0')).out).toBe('');
  });

  test('export writes every entry as it was hashed, and replaces nothing unless it is told to', async () => {
    expect(await audit('export --dir log --out all.jsonl')).toMatchObject({ code: 0, out: `${log.size()} entries are in all.jsonl\n` });
    expect(statSync(at('all.jsonl')).mode & 0o777).toBe(0o600);
    const written = readFileSync(at('all.jsonl'), 'utf8').trimEnd().split('\n');
    expect(written.map((line) => (JSON.parse(line) as { index: number }).index)).toEqual(Array.from({ length: log.size() }, (_, i) => i));
    const bundle = readFileSync(at('log/tile/entries/001')).toString('latin1');
    for (const line of written.slice(256, 512)) expect(bundle).toContain(line.slice('{"entry":'.length, line.lastIndexOf(',"index"')));
    expect(await audit('export --dir log --out all.jsonl')).toMatchObject({ code: 2, err: expect.stringContaining('--force') });
    expect(await json('export --dir log --out all.jsonl --force --from 10 --to 20')).toEqual({ entries: 10, from: 10, to: 20, out: 'all.jsonl' });
    expect((await audit('export --dir log --from 699 --to 99999')).out.trimEnd().split('\n')).toHaveLength(log.size() - 699);
  });

  test('grep finds by what entries say, and by time', async () => {
    const all = readFileSync(at('log/tile/entries/000'));
    expect(all.length).toBeGreaterThan(0);
    const everything = await lines('grep --dir log');
    expect(everything).toHaveLength(log.size());
    const kid = everything[5]?.['entry'].kid as string;
    const count = (is: (entry: Record<string, any>) => boolean): number => everything.filter(({ entry }) => is(entry)).length;
    for (const [flags, is] of [
      [`--kid ${kid}`, (entry) => entry['kid'] === kid], [`--kid ${kid.split('#')[0]}`, (entry) => entry['kid'] === kid], [`--kid ${kid.replace('#v1', '#v2')}`, () => false],
      ['--op patch --result intent', ({ op, result }) => op === 'patch' && result === 'intent'], ['--client ci', ({ actor }) => actor.client_id === 'ci'], ['--tenant other', () => false],
      [`--op-id ${everything[7]?.['entry'].op_id}`, ({ op_id: id }) => id === everything[7]?.['entry'].op_id], [`--corr-id ${everything[8]?.['entry'].corr_id}`, ({ corr_id: id }) => id === everything[8]?.['entry'].corr_id],
      ['--since 2026-11-23T10:00:00.100Z --until 2026-11-23T10:00:00.200Z', ({ ts }) => ts >= '2026-11-23T10:00:00.100Z' && ts < '2026-11-23T10:00:00.200Z'],
      ['--until 2026-11-23', () => false], ['--from 5 --to 9', ({ mono_ns: ns }) => Number(ns) >= 1_000_000_005 && Number(ns) < 1_000_000_009],
    ] as readonly (readonly [string, (entry: Record<string, any>) => boolean])[]) expect((await lines(`grep --dir log ${flags}`)).length, flags).toBe(count(is));
    expect((await audit('grep --dir log --op log-keys')).out).toMatch(/^ {7}0 {2}\S+ {2}log-keys {5}ok {9}- {2}by service\n$/);
  });

  test('a file that is damaged is named, without a stack', async () => {
    const torn = newLog('torn');
    torn.append(700);
    torn.checkpoint();
    rmSync(at('torn/tile/entries/001'));
    const { code, err } = await audit('export --dir torn');
    expect(code).toBe(1);
    expect(err).toContain('tile/entries/001 is missing or damaged: ron-kms audit verify tells more');
    expect(showsStack(err)).toBe(false);
  });
});

describe('a receipt made of the files', () => {
  test('is good with nothing but the keys, and says what it proves', async () => {
    expect(await audit('prove 310 --dir log --out r310')).toMatchObject({ code: 0, out: expect.stringContaining('the receipt of entry 310 is in r310') });
    const { code, out } = await audit('check-receipt r310 --keys log.keys');
    expect(code).toBe(0);
    for (const part of [`entry 310 is in the log ${log.origin}`, 'by ci from', `tree       ${covered} entries`, 'Ed25519', 'ML-DSA-44', 'signed at  2026-11-23T']) expect(out).toContain(part);
    expect(await json('check-receipt r310 --keys log.keys')).toMatchObject({ ok: true, index: 310, origin: log.origin, tree_size: covered, entry: { op: 'sign', v: 1 } });
    const [entry = ''] = (await audit('export --dir log --from 310 --to 311')).out.match(/\{"actor".*"v":1\}/) ?? [];
    writeFileSync(at('entry'), entry);
    writeFileSync(at('other-entry'), entry.replace('sign', 'sigh'));
    expect((await audit('check-receipt r310 --keys log.keys --entry entry')).code).toBe(0);
    expect(await audit('check-receipt r310 --keys log.keys --entry other-entry')).toMatchObject({ code: 3, out: expect.stringContaining('of another entry') });
    writeFileSync(at('bare'), readFileSync(at('r310'), 'utf8').replace(/^extra .*\n/m, ''));
    expect(await audit('check-receipt bare --keys log.keys')).toMatchObject({ code: 3, out: expect.stringContaining('does not carry its entry') });
    expect((await audit('check-receipt bare --keys log.keys --entry entry')).code).toBe(0);
  });

  test('that was tampered with, or is of another log, proves nothing', async () => {
    const receipt = (await audit('prove 310 --dir log')).out;
    const entry = /^extra (.*)$/m.exec(receipt)?.[1] ?? '';
    const forged = Buffer.from(Buffer.from(entry, 'base64').toString().replace('"result":"ok"', '"result":"no"')).toString('base64');
    for (const text of [receipt.replace('index 310', 'index 311'), receipt.replace(entry, forged), receipt.replace(`\n${covered}\n`, `\n${covered + 1}\n`), 'nothing of the kind']) {
      const { code, out, err } = await audit('check-receipt - --keys log.keys', { stdin: text });
      expect({ code, err }).toEqual({ code: 3, err: '' });
      expect(out).toMatch(/^standard input proves nothing: /);
    }
    newLog('stranger', { instanceId: '01890000-0000-7000-8000-00000000bbbb' });
    expect(await audit('check-receipt - --keys stranger.keys', { stdin: receipt })).toMatchObject({ code: 3, out: expect.stringContaining('no key of the log') });
  });

  test.each([['715', /behind the newest checkpoint/], ['9999', /there is no entry 9999/]])('of entry %s cannot be made', async (index, says) => {
    const { code, out, err } = await audit(`prove ${index} --dir log`);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(says);
  });
});

test('what was pruned is checked in its archive, down to where that is whole', async () => {
  const pruned = newLog('pruned');
  pruned.append(2000);
  pruned.checkpoint();
  mkdirSync(at('archive/tile/entries'), { recursive: true });
  for (const bundle of ['001', '002', '003']) {
    writeFileSync(at(`archive/tile/entries/${bundle}.gz`), gzipSync(readFileSync(at(`pruned/tile/entries/${bundle}`))));
    rmSync(at(`pruned/tile/entries/${bundle}`));
  }
  writeFileSync(at('pruned/minimum-index'), '1024\n');
  expect(await json('verify pruned --keys pruned.keys')).toMatchObject({ ok: true, minimum_index: 1024 });
  expect(await json('verify pruned --keys pruned.keys --archive archive')).toMatchObject({ ok: true, minimum_index: 256 });
  writeFileSync(at('archive/tile/entries/002.gz'), gzipSync(readFileSync(at('pruned/tile/entries/004'))));
  expect(await audit('verify pruned --keys pruned.keys --archive archive')).toMatchObject({ code: 3, out: expect.stringContaining('entry 512 (tile/entries/002.gz): is not of this log, nor is any other in the file') });
});

describe('wrong input', () => {
  test.each([
    ['', /audit needs one more word/],
    ['verify log --vkey nonsense', /nonsense is no verifier key/],
    ['verify log --keys saved', /is no verifier key/],
    ['verify log --keys lost', /cannot read lost/],
    ['verify log --keys log.keys --jobs 0', /--jobs is 1 to 64/],
    ['verify log --keys log.keys --from x', /--from is a whole number/],
    ['verify log --keys log.keys --anchor saved', /saved is not the file of an anchor/],
    ['verify lost --keys log.keys', /there is no directory/],
    ['verify log more', /takes \[<dir>\] and nothing more/],
    ['tail --dir home', /home holds no log/],
    ['tail --dir log -n many', /--lines is a whole number/],
    ['tail --dir log -n 999999', /--lines is at most/],
    ['tail', /there is no token/],
    ['grep --dir log --kid x', /--kid is a kid/],
    ['grep --dir log --since soon', /--since is a day such as/],
    ['grep --dir log --op two,words', /--op is one word/],
    ['grep --dir log --from 9 --to 5', /--from is not behind --to/],
    ['export --dir log --out lost/x', /cannot write lost\/x/],
    ['prove', /audit prove needs <index>/],
    ['prove first --dir log', /<index> is a whole number/],
    ['check-receipt saved', /the keys of the log are missing/],
    ['check-receipt - --keys log.keys --entry -', /only one of the receipt and the entry/],
    ['prune log', /give one of --before/],
    ['prune log --before 2026-01-01 --keep 3d', /give one of --before/],
    ['prune log --keep long', /--keep is a duration/],
    ['prune home --keep 3d', /holds no log that was made with ron-kms init/],
    ['rotate-keys now', /audit rotate-keys takes flags only/],
    ['accept-clock', /there is no token/],
  ])('audit %s', async (line, says) => {
    const { code, out, err } = await ronKms(['audit', ...line.split(' ').filter((word) => word !== '')], { cwd: root });
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(says);
    expect(showsStack(err)).toBe(false);
  });
});
