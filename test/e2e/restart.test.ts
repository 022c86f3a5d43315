import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseVkey } from '../../client/src/index.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-restart-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const AUDITOR = tokenOf({ caveats: everything('*') });

test.each(['SIGTERM', 'SIGKILL'] as const)('keys in RAM, a log on disk: after %s an op_id makes a new key, and the log tells of both', async (signal) => {
  const [audit, keyfile] = ['audit', 'root.key'].map((name) => join(root, `${signal}-${name}`)) as [string, string];
  const init = await ronKms(['init', '--seal', 'keyfile', '--audit-dir', audit, '--sealed-dir', `${audit}-keys`, '--keyfile-path', keyfile, '--config', join(root, `${signal}.toml`), '--json']);
  const vkeys = (JSON.parse(init.out) as { keys: { vkey: string }[] }).keys.flatMap(({ vkey }) => parseVkey(vkey) ?? []);
  const start = () => startService({ flags: ['--service-amnesia', 'false', '--audit-dir', audit, '--backends-file-seal', 'keyfile', '--backends-file-keyfile-path', keyfile] });

  const first = await start();
  const before = (await createKey(first, { op_id: 'mine', alg: 'ed25519' }))['kid'] as string;
  expect((await createKey(first, { op_id: 'mine', alg: 'ed25519' }))['kid']).toBe(before);
  process.kill(first.pid, signal);
  await eventually('the process has gone', 5000, () => !isAlive(first.pid));
  await first.stop();

  const second = await start();
  const after = (await createKey(second, { op_id: 'mine', alg: 'ed25519' }))['kid'] as string;
  expect(after).not.toBe(before);
  const { records } = (await call(second, 'GET', '/audit/records?op=create', undefined, AUDITOR)).body;
  expect((records as { entry: Record<string, unknown> }[]).map(({ entry }) => [entry['result'], entry['reason'], entry['kid'], entry['generation']])).toEqual([
    ['intent', undefined, undefined, undefined], ['ok', undefined, before, 1], ['ok', 'replay', before, undefined],
    ['intent', undefined, undefined, undefined], ['ok', undefined, after, 2],
  ]);
  expect(await second.stop()).toBe(0);
  expect(await checkWholeLog({ directory: audit, vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
