import type { Io } from '../../src/cli/command.ts';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Report } from '../../bench/bench.ts';
import { makeZipf } from '../../bench/zipf.ts';
import { makeBenchCommand } from '../../src/compose/bench-command.ts';

let directory: string;
beforeAll(async () => { directory = await mkdtemp(join(tmpdir(), 'ron-kms-bench-test-')); });
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

async function* nothing(): AsyncGenerator<Uint8Array> { /* nobody types */ }

/** The command as the command line runs it, in this process; what it measures are real processes. */
async function bench(flags: Record<string, string | boolean>): Promise<Ran> {
  let out = '';
  let err = '';
  const io: Io = {
    env: {}, cwd: directory, isTerminal: false, isErrTerminal: false,
    out: (text) => { out += text; },
    err: (text) => { err += text; },
    stdin: nothing,
  };
  const exitCode = await makeBenchCommand({ stopped: new Promise(() => undefined) }).run({ flags, args: [] }, io);
  return { exitCode, out, err };
}

describe('ron-kms bench', () => {
  let ran: Ran;
  let report: Report;
  beforeAll(async () => {
    ran = await bench({ quick: true, only: 'batch ed25519', json: true, markdown: 'bench.md' });
    report = JSON.parse(ran.out) as Report;
  });

  test('measures what was asked for beside the echo, and every answer was a good one', () => {
    expect(ran.exitCode).toBe(0);
    expect(report.failures).toBe(0);
    expect(report.operations.map(({ name, connections }) => `${name} @${connections}`)).toEqual([
      'echo @1', 'echo @64', 'sign batch ed25519 @1', 'sign batch ed25519 @4',
      'sign batch ed25519, disk @1', 'sign batch ed25519, disk @4', 'verify batch ed25519 @1', 'verify batch ed25519 @4',
    ]);
    for (const { failures, perSecond, latencyMs } of report.operations) {
      expect(failures).toBe(0);
      expect(perSecond).toBeGreaterThan(0);
      expect(latencyMs?.p50).toBeLessThanOrEqual(latencyMs?.p95 ?? 0);
      expect(latencyMs?.p99).toBeLessThanOrEqual(latencyMs?.max ?? 0);
    }
    expect(report.raw.map(({ name }) => name)).toEqual(['Ed25519 sign', 'Ed25519 verify']);
  });

  test('holds it against the targets that it bears on, and names the machine', () => {
    const measured = { unit: '', figure: expect.any(Number), byCpu: expect.any(Number), isMet: expect.any(Boolean) };
    expect(report.targets).toEqual([
      { ...measured, what: 'throughput: sign batch ed25519 @4 / raw Ed25519 sign', bound: { atLeast: 0.65 } },
      { ...measured, what: 'throughput: sign batch ed25519, disk @4 / raw Ed25519 sign', bound: { atLeast: 0.45 } },
    ]);
    expect(report.machine).toMatchObject({ cpu: expect.any(String), cores: expect.any(Number), node: process.version });
    expect(report).not.toHaveProperty('startUp');
    expect(report).not.toHaveProperty('memory');
  });

  test('says on standard error how far it is, and writes the page with its command line', () => {
    expect(ran.err).toContain('round 1/1  echo @64');
    const page = readFileSync(join(directory, 'bench.md'), 'utf8');
    expect(page).toContain("`npm run bench -- --quick --only 'batch ed25519' --json --markdown bench.md`");
    expect(page).toContain('| sign batch ed25519 | 4 |');
  });
});

test('start-up and memory are parts of their own', async () => {
  const startUp = JSON.parse((await bench({ quick: true, only: 'start-up', json: true })).out) as Report;
  expect(startUp.startUp?.runsMs).toHaveLength(2);
  expect(startUp.operations).toEqual([]);
  const memory = JSON.parse((await bench({ quick: true, only: 'memory', json: true })).out) as Report;
  expect(memory.memory?.points.at(-1)?.operations).toBeGreaterThanOrEqual(10_000);
  expect(memory.targets.map(({ unit }) => unit)).toEqual(['MiB', '']);
});

test('TLS, slow peers and bombs are a part of their own', { timeout: 60_000 }, async () => {
  const { edge, targets } = JSON.parse((await bench({ quick: true, only: 'edge', json: true })).out) as Report;
  expect(edge?.tlsOverPlain).toBeGreaterThan(0);
  expect(edge?.slowConnections).toBeGreaterThan(1900);
  expect(targets.map(({ unit }) => unit)).toEqual(['', '', 'MiB']);
});

test('a large log is made by the log itself, started from, and checked whole', async () => {
  const { largeLog } = JSON.parse((await bench({ only: 'large log', 'large-log': '3000', json: true })).out) as Report;
  expect(largeLog).toMatchObject({ entries: 3000, startedInMs: expect.any(Number), checks: [{ jobs: 1 }, { jobs: 2 }] });
  expect(readdirSync(directory).filter((name) => name.startsWith('ron-kms-bench-'))).toEqual([]);
});

test('a large store is filled by the store itself, started from, and signed with', async () => {
  const { largeStore, targets } = JSON.parse((await bench({ only: 'large store', 'large-store': '3000', quick: true, json: true })).out) as Report;
  const sampled = { perSecond: expect.any(Number), cpuUsPerOp: expect.any(Number) };
  expect(largeStore).toMatchObject({ keys: 3000, startedInMs: expect.any(Number), smallStartedInMs: expect.any(Number), oneKey: sampled, byZipf: sampled, overOneKey: expect.any(Number), rssMib: expect.any(Number) });
  expect(targets.map(({ unit }) => unit)).toEqual(['ms', 'ms', '', 'MiB']);
  expect(readdirSync(directory).filter((name) => name.startsWith('ron-kms-bench-'))).toEqual([]);
});

test('Zipf asks for the second of all ranks half as often as for the first, and for none that is not there', () => {
  const next = makeZipf(10);
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 100_000; i++) {
    const rank = next();
    counts[rank] = (counts[rank] ?? 0) + 1;
  }
  const all = counts.reduce((sum, count) => sum + count);
  expect(all).toBe(100_000);
  const [first = 0, second = 0, third = 0] = counts;
  expect(second / first).toBeCloseTo(1 / 2, 1);
  expect(third / first).toBeCloseTo(1 / 3, 1);
});

test('what cannot be measured is said before anything starts', async () => {
  await expect(bench({ only: 'nonsense' })).rejects.toThrow('sign ed25519');
  await expect(bench({ seconds: '-1' })).rejects.toThrow('--seconds');
});
