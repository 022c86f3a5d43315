import { mkdirSync, mkdtempSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, receiptOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, startService } from '../harness/service.ts';
import { ronKms } from '../cli/ron-kms.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-rekey-'));
afterEach(endInstances);
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function instanceIn(name: string): Promise<FileInstance & { readonly sealedDir: string }> {
  mkdirSync(join(root, name));
  return { ...await initInstance(join(root, name)), sealedDir: join(root, name, 'sealed') };
}

const at = (kid: string, what = ''): string => `/keys/${encodeURIComponent(kid)}${what}`;

interface Work {
  readonly kids: readonly string[];
  readonly sigs: unknown;
  readonly wrapped: string;
  readonly plaintext: string;
}

/** Keys of every kind of row: live, destroyed, with nonces, with an op_id. */
async function begin(service: Serving): Promise<Work> {
  const kids: string[] = [];
  for (let i = 0; i < 40; i++) kids.push((await createKey(service, { alg: i % 4 === 0 ? 'aes-256-gcm' : 'ed25519+ml-dsa', purpose: 'wrap', op_id: `key-${i}` }))['kid'] as string);
  const { body: { sigs } } = await call(service, 'POST', '/sign', { kid: kids[1], payload_b3: DIGEST });
  const { body: { wrapped_b64: wrapped, plaintext_key_b64: plaintext } } = await call(service, 'POST', '/wrap', { kid: kids[0], size: 32 });
  await call(service, 'POST', at(kids[2] ?? '', '/destroy'), { after: '1ms' });
  await eventually('it is erased', 5000, async () => (await call(service, 'GET', at(kids[2] ?? ''))).body['state'] === 'destroyed');
  return { kids, sigs, wrapped, plaintext };
}

async function expectAllThere(service: Serving, { kids, sigs, wrapped, plaintext }: Work): Promise<void> {
  await untilReady(service);
  for (const [i, kid] of kids.entries()) {
    if (i === 2) continue;
    const answer = i % 4 === 0 ? await call(service, 'POST', '/wrap', { kid, size: 32 }) : await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    expect([i, answer.status]).toEqual([i, 200]);
  }
  expect((await call(service, 'POST', '/verify', { kid: kids[1], payload_b3: DIGEST, sigs })).body['ok']).toBe(true);
  expect((await call(service, 'POST', '/unwrap', { wrapped_b64: wrapped })).body['plaintext_key_b64']).toBe(plaintext);
  expect((await createKey(service, { alg: 'ed25519+ml-dsa', purpose: 'wrap', op_id: 'key-1' }))['kid']).toBe(kids[1]);
}

function epochsIn(sealedDir: string): readonly string[] {
  const database = new DatabaseSync(join(sealedDir, 'keys.db'), { readOnly: true });
  const rows = database.prepare('SELECT epoch FROM records UNION SELECT epoch FROM nonces UNION SELECT epoch FROM operations UNION SELECT epoch FROM head').all();
  database.close();
  return rows.map(({ epoch }) => String(epoch));
}

const moved = (service: Serving) => eventually('all is moved', 20_000, async () => (await call(service, 'GET', '/admin/rekey', undefined, OPERATOR)).body['state'] === 'done');
const flags = ['--keys-destroy-min-after', '1ms'];

test('a new root key while everything goes on: every key still works, and nothing lies under the old one', async () => {
  const instance = await instanceIn('whole');
  let service = await instance.start({ flags });
  const work = await begin(service);
  const before = readFileSync(join(instance.auditDir, 'root-key.json'), 'utf8');
  const over = new AbortController();
  const meanwhile = (async () => {
    let changes = 0;
    for (; !over.signal.aborted; changes++) {
      const kid = work.kids[1 + (changes % 2) * 2] ?? '';
      expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
      expect((await call(service, 'PATCH', at(kid), { labels: { n: String(changes) } })).status).toBe(200);
      expect((await call(service, 'POST', '/wrap', { kid: work.kids[4], size: 32 })).status).toBe(200);
    }
    return changes;
  })();
  const { code, out } = await ronKms(['rekey'], { env: { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: OPERATOR } });
  over.abort();
  expect(await meanwhile).toBeGreaterThan(0);
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining('all lies under the new root key') });
  const epochs = epochsIn(instance.sealedDir);
  expect(epochs).toHaveLength(1);
  expect(epochs[0]).not.toBe('00'.repeat(8));
  expect(readFileSync(join(instance.auditDir, 'root-key.json'), 'utf8')).toContain(`"epoch":"${epochs[0]}"`);
  expect(readFileSync(join(instance.auditDir, 'root-key.json'), 'utf8')).not.toBe(before);
  expect(existsSync(join(instance.auditDir, 'root-key-next.json'))).toBe(false);
  expect(readFileSync(join(instance.auditDir, 'log-keys.json'), 'utf8')).toContain(`"epoch":"${epochs[0]}"`);
  await expectAllThere(service, work);
  const { body: { records } } = await call(service, 'GET', '/audit/records?op=rekey', undefined, OPERATOR);
  expect((records as { entry: Record<string, any> }[]).map(({ entry }) => [entry['result'], entry['actor'].via])).toEqual([['intent', 'tcp'], ['ok', 'tcp'], ['ok', 'service']]);

  await service.end('SIGKILL');
  service = await instance.start({ flags });
  await expectAllThere(service, work);
  // And once more, from an epoch that is not the first.
  expect((await call(service, 'POST', '/admin/rekey', {}, OPERATOR)).status).toBe(200);
  await moved(service);
  await expectAllThere(service, work);
  await receiptOf(service, 0);
  expect(await service.end('SIGTERM')).toBe(0);
  service = await instance.start({ flags });
  await expectAllThere(service, work);
  expect(await service.end('SIGTERM')).toBe(0);
  expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
});

test('killed again and again while it moves: each start goes on with it, and no key is ever lost', { timeout: 60_000 }, async () => {
  const instance = await instanceIn('killed');
  let service = await instance.start({ flags });
  const work = await begin(service);
  for (let round = 0; round < 6; round++) {
    const asked = call(service, 'POST', '/admin/rekey', {}, OPERATOR).catch(() => undefined);
    // From before the new root key is written to after the old one is gone.
    await new Promise((resolve) => { setTimeout(resolve, round * 4); });
    await service.end('SIGKILL');
    await asked;
    service = await instance.start({ flags });
    await expectAllThere(service, work);
    await moved(service);
    expect(epochsIn(instance.sealedDir)).toHaveLength(1);
  }
  expect(await service.end('SIGTERM')).toBe(0);
  expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
});

test('is for an operator of the whole instance, and not where keys live in RAM', async () => {
  const instance = await instanceIn('denied');
  const service = await instance.start();
  for (const method of ['POST', 'GET'] as const) expect((await call(service, method, '/admin/rekey', method === 'POST' ? {} : undefined)).status).toBe(403);
  const inRam = await startService();
  expect((await call(inRam, 'POST', '/admin/rekey', {}, OPERATOR)).body['error'].code).toBe('Unsupported');
  await inRam.stop();
});
