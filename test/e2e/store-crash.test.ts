import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Serving } from '../harness/service.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { endInstances, initInstance, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call } from '../harness/service.ts';

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('SKIPPED: kill -9 at every write and flush of the key store; install strace (apt-get install strace), and allow ptrace');

/** Each change writes some twenty times, half of it headers: at a developer's machine not every one. */
const STRIDE = process.env['CI'] === undefined ? 9 : 1;

const root = mkdtempSync(join(tmpdir(), 'ron-kms-store-crash-'));
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

type Body = Record<string, any>;
interface Step {
  readonly name: string;
  /** With an `op_id` of the step's own. */
  readonly call: readonly [method: string, path: (base: string) => string, body: Body];
  /** Labels and states of the versions when it is done. */
  readonly after: string;
}

const key = (what: string) => (base: string): string => `/keys/${encodeURIComponent(base)}${what}`;
const version = (number: number, what: string) => (base: string): string => `/keys/${encodeURIComponent(`${base}#v${number}`)}${what}`;
const steps: readonly Step[] = [
  { name: 'create', call: ['POST', () => '/keys', { tenant: 'core', purpose: 'wrap', alg: 'aes-256-gcm', labels: { a: '1' } }], after: '{"a":"1"} enabled' },
  { name: 'patch', call: ['PATCH', key(''), { labels: { b: '2' }, rotate_after: '90d' }], after: '{"b":"2"} enabled' },
  { name: 'rotate', call: ['POST', key('/rotate'), {}], after: '{"b":"2"} enabled enabled' },
  { name: 'disable', call: ['POST', version(1, '/disable'), {}], after: '{"b":"2"} disabled enabled' },
  { name: 'enable', call: ['POST', version(1, '/enable'), {}], after: '{"b":"2"} enabled enabled' },
  { name: 'schedule', call: ['POST', version(2, '/destroy'), { after: '30d' }], after: '{"b":"2"} enabled scheduled' },
  { name: 'restore', call: ['POST', version(2, '/restore'), {}], after: '{"b":"2"} enabled enabled' },
  { name: 'destroy', call: ['POST', version(1, '/destroy'), { after: '1ms' }], after: '{"b":"2"} scheduled enabled|{"b":"2"} destroyed enabled' },
];
const ERASED = '{"b":"2"} destroyed enabled';

interface Done {
  base: string;
  /** What each step was answered, as far as they were. */
  readonly answers: Body[];
  wrapped: string[];
  isErased: boolean;
}

async function shape(service: Serving, base: string): Promise<string> {
  const { labels, versions } = (await call(service, 'GET', key('')(base))).body as { labels: object; versions: { state: string }[] };
  return [JSON.stringify(labels), ...versions.map(({ state }) => state)].join(' ');
}

/** Everything that writes the store, one thing after the other, until the service is gone. */
async function live(service: Serving, done: Done): Promise<void> {
  try {
    for (const step of steps) {
      const [method, path, body] = step.call;
      const answer = await call(service, method, path(done.base), { ...body, op_id: step.name });
      expect([step.name, Math.trunc(answer.status / 100)]).toEqual([step.name, 2]);
      if (step.name === 'create') done.base = (answer.body['kid'] as string).replace('#v1', '');
      done.answers.push(answer.body);
      // Nonces are set aside with the first wrap of a version.
      if (step.name === 'create' || step.name === 'rotate') done.wrapped.push((await call(service, 'POST', '/wrap', { kid: done.base, size: 32 })).body['wrapped_b64']);
    }
    // The service erases by itself, within two seconds.
    await eventually('it is erased', 5000, async () => (await shape(service, done.base)) === ERASED);
    done.isErased = true;
  } catch (fault) {
    if (!(fault instanceof TypeError && fault.message === 'fetch failed')) throw fault;
  }
}

/** What must hold after any crash. */
async function check(service: Serving, done: Done): Promise<void> {
  await untilReady(service);
  const { answers, base } = done;
  if (answers.length > 0) {
    const now = await shape(service, base);
    const allowed = [steps[answers.length - 1], steps[answers.length]].flatMap((step) => step?.after.split('|') ?? [ERASED]);
    expect(done.isErased ? [ERASED] : allowed).toContain(now);
  }
  // A retry gives the one true answer, done before or not; a second key would be a second answer.
  const retried: Body[] = [];
  for (const { name, call: [method, path, body] } of steps.slice(0, answers.length + 1)) {
    const answer = await call(service, method, path(done.base), { ...body, op_id: name });
    expect([name, Math.trunc(answer.status / 100)]).toEqual([name, 2]);
    if (done.base === '') done.base = (answer.body['kid'] as string).replace('#v1', '');
    retried.push(answer.body);
  }
  expect(retried.slice(0, answers.length)).toEqual(answers);
  expect((await call(service, 'GET', '/keys')).body['keys']).toHaveLength(1);
  // A version that waits for its destruction wraps nothing.
  if (!(await shape(service, done.base)).endsWith('enabled')) return;
  const again = (await call(service, 'POST', '/wrap', { kid: done.base, size: 32 })).body['wrapped_b64'] as string;
  expect(new Set([...done.wrapped, again].map((text) => text.slice(0, 140))).size).toBe(done.wrapped.length + 1);
}

/** Stops what lives to the end; strace itself would not pass a signal on. False when it was killed before, or on its way out. */
async function end(service: Serving, home: string): Promise<boolean> {
  const pid = Number(readFileSync(join(home, 'sealed/lock'), 'utf8').split(' ')[0]);
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It is gone; its lock stays until the next start.
  }
  return await service.gone() === 0;
}

/** `signal` comes as the call is entered: it is not done, all before it is. */
async function killAt(syscall: string, nth: number): Promise<boolean> {
  const home = join(root, `${syscall}-${nth}`);
  mkdirSync(home);
  const instance = await initInstance(home);
  const done: Done = { base: '', answers: [], wrapped: [], isErased: false };
  const paths = ['keys.db', 'keys.db-wal'].flatMap((name) => ['-P', join(home, 'sealed', name)]);
  const under = ['strace', '-f', '-qq', '-o', '/dev/null', ...paths, '-e', `trace=${syscall}`, '-e', `inject=${syscall}:signal=SIGKILL:when=${nth}`];
  const flags = ['--keys-destroy-min-after', '1ms'];
  const service = await instance.start({ under, flags }).catch((fault: unknown) => { if (!String(fault).includes('SIGKILL')) throw fault; });
  if (service !== undefined) await live(service, done);
  const hasLived = service !== undefined && await end(service, home);
  const next = await instance.start({ flags });
  await check(next, done);
  expect(await next.end('SIGTERM')).toBe(0);
  const vkeys = instance.vkeys;
  expect(await checkWholeLog({ directory: instance.auditDir, vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
  rmSync(home, { recursive: true, force: true });
  return hasLived;
}

test.runIf(canTrace).each(['pwrite64', 'fsync', 'ftruncate', 'unlink'])('kill -9 at each %s of every change: what was answered is there, the rest wholly or not at all', { timeout: 900_000 }, async (syscall) => {
  let next = 1;
  let points = 0;
  let isOver = false;
  // Two at once: each waits a good deal for the other end.
  await Promise.all([0, 1].map(async () => {
    while (!isOver) {
      const nth = next;
      next += syscall === 'pwrite64' ? STRIDE : 1;
      if (await killAt(syscall, nth)) isOver = true;
      else points++;
    }
  }));
  expect(points).toBeGreaterThan(0);
});
