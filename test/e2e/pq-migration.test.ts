import type { Serving } from '../harness/service.ts';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DIGEST, endInstances, initInstance, OPERATOR } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';

/** The walk of docs/runbooks/pq-migration.md, its stages by the settings that page gives. */
const page = readFileSync(new URL('../../docs/runbooks/pq-migration.md', import.meta.url), 'utf8');
const stages = new Map([...page.matchAll(/## Stage (\d)[^\n]*\n[^#]*?```toml\n([^`]*)```/g)].map(([, number, toml]) => [Number(number), toml ?? '']));

let root: string;
let service: Serving;
let first: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-pq-'));
  const instance = await initInstance(root);
  first = readFileSync(join(root, 'kms.toml'), 'utf8');
  writeFileSync(join(root, 'kms.toml'), `${first}\n${stages.get(0)}`);
  service = await instance.start();
});
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

/** Takes the settings of a stage with one SIGHUP. */
async function goTo(stage: number): Promise<void> {
  const version = async (): Promise<string> => ((await (await fetch(`${service.metricsUrl}/version`)).json()) as { config_version: string }).config_version;
  const before = await version();
  writeFileSync(join(root, 'kms.toml'), `${first}\n${stages.get(stage)}`);
  process.kill(service.pid, 'SIGHUP');
  await eventually(`stage ${stage} is in force`, 5000, async () => (await version()) !== before);
}

const sign = (kid: string, policy?: object) => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...(policy && { policy }) }, OPERATOR);
const verify = (kid: string, sigs: unknown, policy?: object) => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs, ...(policy && { policy }) }, OPERATOR);
const modeOf = async (kid: string, sigs: unknown): Promise<unknown> => {
  const { body } = await verify(kid, sigs);
  return body['error']?.code ?? [body['details'].mode, body['ok']];
};
const codeOf = async (answer: ReturnType<typeof sign>): Promise<unknown> => (await answer).body['error']?.code ?? 'ok';
const refusals = async (): Promise<number> => Number(/kms_reject_total\{reason="pq_policy"\} (\d+)/.exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1]);

test('the page has the settings of its stages', () => {
  expect([...stages.keys()]).toEqual([0, 1, 2, 3]);
});

test('a tenant walks from classical to pq_only and back, by reload alone; nothing that was signed is lost', { timeout: 60_000 }, async () => {
  const hybrid = (await createKey(service, {}, OPERATOR))['kid'] as string;
  const classical = (await createKey(service, { alg: 'ed25519' }, OPERATOR))['kid'] as string;

  // Stage 0: one signature, and one is enough.
  const { body: { sigs: single } } = await sign(hybrid);
  expect(single.map(({ alg }: { alg: string }) => alg)).toEqual(['ed25519']);
  expect(await modeOf(hybrid, single)).toEqual(['or', true]);
  const { body: { sigs: old } } = await sign(classical);

  // Stage 1: both are made, still one is enough, and what was signed before verifies.
  await goTo(1);
  const { body: { sigs: both } } = await sign(hybrid);
  expect(both.map(({ alg }: { alg: string }) => alg)).toEqual(['ed25519', 'ml-dsa']);
  expect([await modeOf(hybrid, both), await modeOf(hybrid, single), await modeOf(classical, old)]).toEqual([['or', true], ['or', true], ['or', true]]);
  // A request asks for more, never for less.
  expect([await codeOf(sign(hybrid, { produce_hybrid: false })), (await verify(hybrid, single, { mode: 'and' })).body['ok']]).toEqual(['PqPolicy', false]);

  // Stage 2: both have to be there. Keys without a post-quantum part are refused, and that is counted.
  await goTo(2);
  const before = await refusals();
  expect([await modeOf(hybrid, both), await modeOf(hybrid, single), await modeOf(classical, old)]).toEqual([['and', true], ['and', false], 'PqPolicy']);
  expect([await codeOf(sign(classical)), await codeOf(verify(hybrid, single, { mode: 'or' }))]).toEqual(['PqPolicy', 'PqPolicy']);
  expect(await refusals()).toBe(before + 3);

  // Stage 3: the post-quantum one alone.
  await goTo(3);
  const lattice = both.filter(({ alg }: { alg: string }) => alg === 'ml-dsa');
  expect([await modeOf(hybrid, lattice), await modeOf(hybrid, single)]).toEqual([['pq_only', true], ['pq_only', false]]);
  expect(await codeOf(verify(hybrid, both, { mode: 'or' }))).toBe('PqPolicy');

  // And back, in one reload: everything that was ever signed verifies.
  await goTo(0);
  for (const [kid, sigs] of [[hybrid, single], [hybrid, both], [hybrid, lattice], [classical, old]] as const) expect(await modeOf(kid, sigs)).toEqual(['or', true]);
});

test('no setting of the roll-out weakens what stands for the tenant itself', async () => {
  const { kid } = await createKey(service, { tenant: 'strict' }, OPERATOR);
  for (const percent of [0, 50, 100]) {
    writeFileSync(join(root, 'kms.toml'), `${first}\n[pq]\nproduce_hybrid = false\nverify_mode = "or"\nrollout_percent = ${percent}\n[tenants.strict]\nverify_mode = "and"\n`);
    expect((await call(service, 'POST', '/admin/reload', {}, OPERATOR)).status).toBe(200);
    const { body: { sigs } } = await sign(kid as string);
    expect([sigs.length, await modeOf(kid as string, sigs)]).toEqual([2, ['and', true]]);
  }
});
