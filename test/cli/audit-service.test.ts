import type { TestService } from '../harness/service.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, LAUNCHER, startService, tokenOf } from '../harness/service.ts';
import { ronKms } from './ron-kms.ts';

const cwd = mkdtempSync(join(tmpdir(), 'ron-kms-audit-service-'));
const at = (name: string): string => join(cwd, name);
const TOKEN = tokenOf({ caveats: everything('*') });
const DIGEST = 'ab'.repeat(32);

let service: TestService | undefined;
let env: Record<string, string>;
let kid: string;

async function start(): Promise<void> {
  service = await startService({ flags: ['--service-amnesia', 'false', '--service-backend', 'file', '--backends-file-dir', at('kms-sealed'), '--audit-dir', at('kms-audit'), '--backends-file-seal', 'keyfile', '--backends-file-keyfile-path', at('kms-root.key')] });
  env = { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: TOKEN };
  kid = (await createKey(service, { alg: 'ed25519' }, TOKEN))['kid'] as string;
}

async function stop(): Promise<void> {
  await service?.stop();
  service = undefined;
}

/** A log on disk as an operator makes one, and what `init --json` printed kept where the auditor has it. */
beforeAll(async () => {
  writeFileSync(at('init.json'), (await ronKms(['init', '--seal', 'keyfile', '--json'], { cwd })).out);
  await start();
});
afterAll(async () => {
  await stop();
  rmSync(cwd, { recursive: true, force: true });
});

const audit = (line: string) => ronKms(['audit', ...line.split(' ')], { cwd, env });
const verify = (more = ''): ReturnType<typeof ronKms> => audit(`verify --keys init.json${more}`);
const lines = async (line: string): Promise<readonly { readonly index: number; readonly entry: Record<string, any> }[]> => (await audit(`${line} --json`)).out.split('\n').filter((text) => text !== '').map((text) => JSON.parse(text) as { index: number; entry: Record<string, any> });
const running = (): TestService => service ?? expect.unreachable();

const bundle = (number: string): string => at(`kms-audit/tile/entries/${number}`);

async function sign(count: number): Promise<number> {
  const { body } = await call(running(), 'POST', '/sign/batch', { items: Array.from({ length: count }, () => ({ kid, payload_b3: DIGEST })) }, TOKEN);
  return Math.max(...(body['items'] as { audit: { index: number } }[]).map(({ audit: { index } }) => index));
}

describe('with the service', () => {
  test('tail and grep show what was done, inside the caveats of the token', async () => {
    const last = await sign(20);
    expect((await lines('tail -n 5')).map(({ index }) => index)).toEqual([4, 3, 2, 1, 0].map((back) => last - back));
    expect((await audit(`grep --kid ${kid} --op create`)).out).toMatch(/ create {7}ok .* by tester from 127\.0\.0\.1 \(#1 of its key\)\n/);
    expect((await lines('grep --op sign --since 1h')).length).toBe(20);
    expect(await lines('grep --until 2020-01-01')).toEqual([]);
    const other = tokenOf({ caveats: everything('other') });
    expect((await ronKms(['audit', 'tail'], { env: { ...env, RON_KMS_TOKEN: other } })).out).toBe('');
    expect((await ronKms(['audit', 'tail'], { env: { ...env, RON_KMS_TOKEN: tokenOf({ caveats: ['scope = kms:sign', ...everything('core').slice(1)] }) } })).code).toBe(1);
  });

  test('tail --follow goes on with those that come', async () => {
    const child = spawn(LAUNCHER, ['audit', 'tail', '-n', '1', '-f', '--json'], { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
    await eventually('the newest entry is shown', 10_000, () => out.includes('\n'));
    const last = await sign(3);
    await eventually('the new entries are shown', 10_000, () => out.includes(`"index":${last}}\n`));
    child.kill();
    await once(child, 'close');
    const places = out.trimEnd().split('\n').map((line) => (JSON.parse(line) as { index: number }).index);
    expect(places).toEqual([3, 2, 1, 0].map((back) => last - back));
  });

  test('export gives the entries byte for byte as the files have them', async () => {
    await audit('prove 1');
    expect((await audit('export --out api.jsonl --to 20')).out).toBe('20 entries are in api.jsonl\n');
    expect((await audit('export --out files.jsonl --to 20 --dir kms-audit')).code).toBe(0);
    expect(readFileSync(at('api.jsonl'), 'utf8')).toBe(readFileSync(at('files.jsonl'), 'utf8'));
  });

  test('a receipt of what was just done is checked with the keys that init printed', async () => {
    const index = await sign(1);
    expect((await audit(`prove ${index} --out deed.receipt`)).code).toBe(0);
    const checked = await ronKms(['audit', 'check-receipt', 'deed.receipt', '--keys', 'init.json'], { cwd });
    expect(checked).toMatchObject({ code: 0, out: expect.stringContaining(`entry ${index} is in the log ron-kms/`) });
    expect(checked.out).toContain(kid);
    expect(JSON.parse((await audit(`prove ${index} --json`)).out)).toMatchObject({ index, receipt: expect.stringMatching(/^c2sp\.org\/tlog-proof@v1\n/) });
    expect(await audit('prove 999999')).toMatchObject({ code: 1, err: expect.stringContaining('NotFound') });
  });

  test('accept-clock and rotate-keys say by which entry, and the log is followed to the new keys', async () => {
    expect((await audit('accept-clock')).out).toMatch(/^the wall clock is trusted as it stands, by entry \d+\n$/);
    await sign(256);
    await sign(256);
    const { code, out } = await audit('rotate-keys');
    expect(code).toBe(0);
    expect(out).toMatch(/^the log has new keys, announced by entry \d+\n {2}ron-kms\/.*\n {2}ron-kms\/.*\nThe ones before sign along until 20/);
    await audit(`prove ${await sign(1)}`);
    expect((await verify()).code).toBe(0);
    expect((await ronKms(['audit', 'rotate-keys'], { env: { ...env, RON_KMS_TOKEN: tokenOf({ caveats: ['scope = kms:audit', ...everything('*').slice(1)] }) } })).code).toBe(1);
  });

  test('verify holds while the log grows under it', async () => {
    const done = new AbortController();
    let signed = 0;
    const writing = (async () => {
      for (; !done.signal.aborted; signed += 32) await sign(32);
    })();
    const verdicts = [];
    for (let i = 0; i < 6; i++) verdicts.push(await verify(' --json'));
    done.abort();
    await writing;
    expect(signed).toBeGreaterThan(100);
    expect(verdicts.map(({ code, out }) => [code, out.includes('"faults":[]')])).toEqual(verdicts.map(() => [0, true]));
    const sizes = verdicts.map(({ out }) => (JSON.parse(out) as { size: number }).size);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
    expect(sizes.at(-1)).toBeGreaterThan(sizes[0] ?? 0);
  }, 60_000);

  test('prune wants it stopped first', async () => {
    expect(await audit('prune --keep 0s --yes')).toMatchObject({ code: 1, err: expect.stringMatching(/process \d+ writes here; stop it first/) });
  });
});

describe('prune', () => {
  test('tells what it would do, and does it only when it is told to', async () => {
    await sign(256);
    await stop();
    const dry = await audit('prune --keep 0s');
    expect(dry).toMatchObject({ code: 0, err: '', out: expect.stringContaining('Nothing was changed. With --yes it is done.') });
    expect(dry.out).toMatch(/to be pruned: \d+ bundles of 256 entries, [\d.]+ MB; entries below \d+ would be there by their hashes\n {2}kept {7}2 bundles below, as they announce keys of the log\n/);
    expect(existsSync(at('kms-audit/minimum-index'))).toBe(false);
    expect(await audit('prune --before 2020-01-01 --yes')).toMatchObject({ code: 0, out: expect.stringContaining('nothing is to be pruned') });
    expect(existsSync(bundle('001'))).toBe(true);
  });

  test('a damaged bundle is evidence, and nothing goes', async () => {
    const bytes = readFileSync(bundle('001'));
    writeFileSync(bundle('001'), bytes.with(1000, (bytes[1000] ?? 0) ^ 1));
    expect(await audit('prune --keep 0s --yes')).toMatchObject({ code: 1, err: expect.stringContaining('tile/entries/001 is not what was logged: nothing was pruned') });
    writeFileSync(bundle('001'), bytes);
    expect(existsSync(at('kms-audit/minimum-index'))).toBe(false);
  });

  test('takes entries out, keeps them in the archive, and the log is checked as before', async () => {
    const told = JSON.parse((await audit('prune --keep 0s --archive cold --yes --json')).out) as Record<string, any>;
    expect(told).toMatchObject({ done: true, kept_bundles: 2, archive: at('cold') });
    expect(readFileSync(at('kms-audit/minimum-index'), 'utf8')).toBe(`${told['minimum_index']}\n`);
    // Entry 0 names the first keys: an auditor who pinned those follows them from there.
    expect([existsSync(bundle('000')), existsSync(bundle('001')), existsSync(at('cold/tile/entries/001.gz'))]).toEqual([true, false, true]);
    expect(JSON.parse((await verify(' --json')).out)).toMatchObject({ ok: true, minimum_index: told['minimum_index'] });
    expect(await audit('prune --keep 0s --yes')).toMatchObject({ code: 0, out: expect.stringContaining('nothing is to be pruned') });
  });

  test('the service goes on from what is left, and has no receipts of what is gone', async () => {
    await start();
    const index = await sign(256);
    await audit(`prove ${index}`);
    expect((await verify()).code).toBe(0);
    expect((await lines('tail -n 1'))[0]?.index).toBe(index);
    expect(await audit('prove 300')).toMatchObject({ code: 1, err: expect.stringContaining('NotFound') });
    expect(await audit('prove 300 --dir kms-audit')).toMatchObject({ code: 1, err: expect.stringContaining('entry 300 was pruned') });
    expect((await ronKms(['audit', 'check-receipt', 'deed.receipt', '--keys', 'init.json'], { cwd })).code).toBe(0);
    await stop();
  });

  test('a prune that was cut short is finished by the next one', async () => {
    const minimum = Number(readFileSync(at('kms-audit/minimum-index'), 'utf8'));
    await start();
    await sign(256);
    await sign(256);
    await stop();
    // As a crash leaves it behind the flush of `minimum-index`: the bundles are still there.
    writeFileSync(at('kms-audit/minimum-index'), `${minimum + 256}\n`);
    expect((await verify()).code).toBe(0);
    expect((await audit('prune --keep 0s --yes')).code).toBe(0);
    expect(Number(readFileSync(at('kms-audit/minimum-index'), 'utf8'))).toBeGreaterThan(minimum);
    expect(existsSync(bundle(String(minimum / 256).padStart(3, '0')))).toBe(false);
    expect((await verify()).code).toBe(0);
  });

  test('needs the keys of the log, as a start does, and a log that was sealed', async () => {
    const state = readFileSync(at('kms-audit/state'));
    writeFileSync(at('kms-audit/state'), state.with(5, 0));
    expect(await audit('prune --keep 0s --yes')).toMatchObject({ code: 1, err: expect.stringContaining('the log is at odds with itself: state:') });
    writeFileSync(at('kms-audit/state'), state);
    rmSync(at('kms-root.key'));
    expect((await audit('prune --keep 0s --yes')).code).not.toBe(0);
    expect(existsSync(at('kms-audit/lock'))).toBe(false);
  });
});
