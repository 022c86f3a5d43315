import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { checkReceipt, createClient } from '../../client/src/index.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, receiptOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-crash-'));
afterEach(endInstances);
afterAll(() => rmSync(root, { recursive: true, force: true }));

const CLIENTS = 16;

async function instanceIn(name: string): Promise<FileInstance> {
  mkdirSync(join(root, name));
  return initInstance(join(root, name));
}

/** What was answered, by index. */
type Answered = Map<number, string>;

/** Clients that sign, one of them rotating now and then, until the service is gone or they are told to stop. */
async function load(service: Serving, prefix: string, answered: Answered, isOver: () => boolean): Promise<void> {
  const { kid } = await createKey(service) as { kid: string };
  const base = kid.replace('#v1', '');
  const client = async (name: number): Promise<void> => {
    for (let i = 0; !isOver(); i++) {
      const opId = `${prefix}-${name}-${i}`;
      const isRotation = name === 0 && i % 10 === 9;
      const answer = await (isRotation ? call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, { op_id: opId }) : call(service, 'POST', '/sign', { kid: base, payload_b3: DIGEST, op_id: opId })).catch(() => undefined);
      if (answer === undefined) return;
      expect(answer.status).toBe(200);
      if (!isRotation) answered.set(answer.body['audit'].index, opId);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, name) => client(name)));
}

describe.each(['disk', 'os'])('kill -9 under load, durability %s', (durability) => {
  test('five times: every answered operation is in the log at its index, and the log is whole', { timeout: 120_000 }, async () => {
    const instance = await instanceIn(`killed-${durability}`);
    const flags = ['--audit-durability', durability];
    const answered: Answered = new Map();
    for (let round = 1; round <= 5; round++) {
      const service = await instance.start({ flags });
      const before = answered.size;
      // Somewhere between two checkpoints, and not in every round at the same place.
      const enough = before + 150 + Math.floor(Math.random() * 400);
      const loaded = load(service, `r${round}`, answered, () => false);
      await eventually('enough is answered', 20_000, () => answered.size >= enough);
      await service.end('SIGKILL');
      await loaded;

      const after = await instance.start({ flags });
      await untilReady(after);
      const logged = new Map<number, string>();
      for await (const { index, entry } of createClient({ url: after.apiUrl, token: OPERATOR }).allRecords({ limit: 1000 })) logged.set(index, entry.op_id);
      expect([...answered].filter(([index, opId]) => logged.get(index) !== opId)).toEqual([]);
      const recent = [...answered.keys()].slice(before);
      for (const index of [recent[0], recent[recent.length >> 1], recent.at(-1)]) {
        const receipt = checkReceipt(await receiptOf(after, index ?? -1), instance.vkeys);
        expect(receipt).toMatchObject({ ok: true, index, fields: { op: 'sign', result: 'ok', op_id: answered.get(index ?? -1) } });
      }
      expect(await after.end('SIGTERM')).toBe(0);
    }
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
  });
});

test('whoever checks the files while the service writes them finds nothing wrong', async () => {
  const instance = await instanceIn('watched');
  const service = await instance.start({ flags: ['--audit-checkpoint-interval-ops', '20'] });
  const answered: Answered = new Map();
  let isOver = false;
  const loaded = load(service, 'w', answered, () => isOver);
  await eventually('there is a checkpoint over some of it', 10_000, () => answered.size > 300);
  for (let i = 0; i < 30; i++) expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  isOver = true;
  await loaded;
  expect(await service.end('SIGTERM')).toBe(0);
});

test('a second process on the same directory is refused, and told which one writes there', async () => {
  const instance = await instanceIn('shared');
  const service = await instance.start();
  expect(await instance.startRefused()).toContain(`process ${service.pid} writes here; stop it first`);
  const { kid } = await createKey(service) as { kid: string };
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
  await service.end('SIGKILL');
  const next = await instance.start();
  await untilReady(next);
  expect(await next.end('SIGTERM')).toBe(0);
});
