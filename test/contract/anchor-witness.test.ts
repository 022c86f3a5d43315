import type { Checkpoint } from '../../client/src/log/checkpoint.ts';
import type { AnchorProof } from '../../src/ports/anchor.ts';
import type { Answer, Meddling, TestWitness } from '../harness/witness.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { createWitnessAnchor } from '../../src/adapters/anchor-witness/anchor.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { openSmallLog } from '../harness/small-log.ts';
import { cosign, makeWitnessKey, readRecords, startWitness } from '../harness/witness.ts';
import { anchorContract, grow } from './anchor.ts';

const root = mkdtempSync(join(tmpdir(), 'anchor-witness-'));
const running = new Set<TestWitness>();
afterEach(async () => {
  await Promise.all([...running].map((witness) => witness.stop()));
  running.clear();
});
afterAll(() => rmSync(root, { recursive: true }));
let opened = 0;
let sizes = 0;

async function openAnchor(algorithm: 'ed25519' | 'ml-dsa-44' = 'ml-dsa-44') {
  const place = join(root, `${opened++}`);
  const log = openSmallLog(place, `ron-kms/${opened}`);
  const options = { signer: makeWitnessKey(algorithm), logs: new Map([[log.origin, [log.key]]]), recordPath: join(place, 'witness.json') };
  let witness = await startWitness(options);
  running.add(witness);
  const { url, port } = witness;
  const reopen = () => createWitnessAnchor({ url: `${url}/`, key: options.signer.key, logKeys: () => [log.key], clock: systemClock });
  return {
    anchor: reopen(), log, reopen, options,
    meddle: (change: Meddling | undefined) => witness.meddle(change),
    requests: () => witness.requests,
    seenSize: () => readRecords(options.recordPath)[log.origin]?.size,
    cut: () => witness.stop(),
    async mend() {
      witness = await startWitness({ ...options, port });
      running.add(witness);
    },
  };
}

anchorContract('witness (ML-DSA-44)', () => openAnchor());
anchorContract('witness (Ed25519)', () => openAnchor('ed25519'));

describe('the witness anchor', () => {
  test('gives cosignatures that verify with the checkpoint', async () => {
    const { anchor, log, options } = await openAnchor();
    const proof = await grow(log, 5);
    const advanced = await anchor.advance(1, proof);
    const cosignatures = 'cosignatures' in advanced ? advanced.cosignatures : undefined;
    const verified = verifyCheckpointNote(`${proof.note}${cosignatures ?? ''}`, [log.key, options.signer.key]);
    expect(verified).toMatchObject({ checkpoint: { size: proof.treeSize }, signedBy: [log.key, options.signer.key] });
  });

  test('told another size, it proves the growth from there', async () => {
    const { anchor, log, reopen, requests, seenSize } = await openAnchor();
    await anchor.advance(1, await grow(log, 5));
    await anchor.advance(2, await grow(log, 9));
    const proof = await grow(log, 20);
    expect(await reopen().advance(3, proof)).toHaveProperty('cosignatures');
    expect(requests().slice(2).map((body) => body.split('\n')[0])).toEqual(['old 0', 'old 15']);
    expect(seenSize()).toBe(proof.treeSize);
  });

  test('an answer that was lost on the way is asked for again, without a second advance', async () => {
    const { anchor, log, meddle, seenSize } = await openAnchor();
    await anchor.advance(1, await grow(log, 2));
    const proof = await grow(log, 2);
    meddle(() => undefined);
    await expect(anchor.advance(2, proof)).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(seenSize()).toBe(proof.treeSize);
    meddle(undefined);
    expect(await anchor.advance(2, proof)).toHaveProperty('cosignatures');
  });

  test.each<[string, (honest: Answer, proof: AnchorProof, sign: (checkpoint: Checkpoint, timestampS: number) => string) => Answer]>([
    ['a cosignature with a flipped bit', (honest) => ({ ...honest, body: honest.body.replace(/.{8}=*\n$/, (end) => end.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))) })],
    ['a cosignature of another root', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof, { rootHash: Buffer.alloc(32, 7) }), now()) })],
    ['a cosignature of an older head', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof, { size: 1 }), now()) })],
    ['a cosignature of another log', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof, { origin: 'ron-kms/other' }), now()) })],
    ['a cosignature of an hour ago', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof), now() - 3600) })],
    ['a cosignature of tomorrow', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof), now() + 86_400) })],
    ['a cosignature that states no time', (honest, proof, sign) => ({ ...honest, body: sign(checkpointOf(proof), 0) })],
    ['a cosignature by another key', (honest, proof) => ({ ...honest, body: cosign(makeWitnessKey(), checkpointOf(proof), now()) })],
    ['no cosignature', (honest) => ({ ...honest, body: '' })],
    ['no text', (honest) => ({ ...honest, body: '\0\0\0' })],
    ['its cosignature a thousand times', (honest) => ({ ...honest, body: honest.body.repeat(1000) })],
    ['its cosignature and 100 kB more', (honest) => ({ ...honest, body: `${honest.body}— other.test ${Buffer.alloc(75_000, 1).toString('base64')}\n` })],
    ['a redirect', () => ({ status: 302, type: 'text/plain', body: '' })],
    ['a size of nonsense', () => ({ status: 409, type: 'text/x.tlog.size', body: '-1\n' })],
    ['a conflict without a size', () => ({ status: 409, type: 'text/plain', body: '' })],
    ['another size each time', () => ({ status: 409, type: 'text/x.tlog.size', body: `${++sizes % 2}\n` })],
    ...[400, 403, 404, 429, 500, 503].map((status): [string, () => Answer] => [`${status}`, () => ({ status, type: 'text/plain', body: 'no' })]),
  ])('believes nothing of a witness that gives %s', async (_what, lie) => {
    const { anchor, log, meddle, options, requests } = await openAnchor();
    const proof = await grow(log, 6);
    meddle((honest) => lie(honest, proof, (checkpoint, timestampS) => cosign(options.signer, checkpoint, timestampS)));
    await expect(anchor.advance(1, proof)).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(requests().length).toBeLessThanOrEqual(3);
    meddle(undefined);
    expect(await anchor.advance(1, proof)).toHaveProperty('cosignatures');
  });

  test('a connection that the witness closed between two advances costs nothing', async () => {
    const { anchor, log, cut, mend } = await openAnchor();
    await anchor.advance(1, await grow(log, 2));
    await cut();
    await mend();
    expect(await anchor.advance(2, await grow(log, 2))).toHaveProperty('cosignatures');
  });

  test('passes on only the lines of the pinned key', async () => {
    const { anchor, log, meddle, options } = await openAnchor();
    const proof = await grow(log, 2);
    const other = cosign({ ...makeWitnessKey() }, checkpointOf(proof), now());
    let own = '';
    meddle((honest) => ({ ...honest, body: `${other}${(own = honest.body)}${other}` }));
    const advanced = await anchor.advance(1, proof);
    expect(advanced).toEqual({ cosignatures: own });
    expect(own).toContain(options.signer.key.name);
  });

  test('cosignatures that the note carries from before are neither believed nor in the way', async () => {
    const { anchor, log, meddle, options } = await openAnchor();
    const proof = await grow(log, 2);
    const carrying = { ...proof, note: proof.note + cosign(options.signer, checkpointOf(proof), now() - 3600) };
    let own = '';
    meddle((honest) => ({ ...honest, body: (own = honest.body) }));
    expect(await anchor.advance(1, carrying)).toEqual({ cosignatures: own });
    expect(await anchor.read(carrying)).toEqual({ seenSize: proof.treeSize });
    meddle((honest) => ({ ...honest, body: cosign(makeWitnessKey(), checkpointOf(proof), now()) }));
    await expect(anchor.read({ ...proof, note: proof.note + own })).rejects.toMatchObject({ code: 'AuditUnavailable' });
  });

  test('gives up on a witness that is silent within its deadline', async () => {
    const { anchor, log, meddle } = await openAnchor();
    meddle(() => undefined);
    const beganMs = performance.now();
    await expect(anchor.advance(1, log.headProof())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(performance.now() - beganMs).toBeLessThan(3000);
  });

  test('a witness that has seen more than the log has is a fault that says how much', async () => {
    const { anchor, log, reopen } = await openAnchor();
    const older = await grow(log, 1);
    await anchor.advance(1, await grow(log, 40));
    const fault = expect.stringContaining('has seen 42 entries of this log, its newest checkpoint covers 2') as string;
    expect(await reopen().read(older)).toEqual({ fault });
    expect(await reopen().advance(2, older)).toEqual({ fault });
  });

  test('another log under the same origin is a fault, at the same size and beyond it', async () => {
    const { anchor, log, reopen, options } = await openAnchor();
    const proof = await grow(log, 10);
    await anchor.advance(1, proof);
    writeFileSync(options.recordPath, JSON.stringify({ [log.origin]: { size: proof.treeSize, root: Buffer.alloc(32, 1).toString('base64') } }));
    expect(await reopen().read(proof)).toEqual({ fault: expect.stringContaining('another log of 11 entries') });
    expect(await reopen().advance(2, await grow(log, 3))).toEqual({ fault: expect.stringContaining('does not continue the 11 entries') });
  });

  test('a witness that has lost its record is named while we remember, and untouched by our asking', async () => {
    const { anchor, log, reopen, options } = await openAnchor();
    await anchor.advance(1, await grow(log, 10));
    rmSync(options.recordPath);
    expect(await anchor.read(log.headProof())).toEqual({ fault: expect.stringContaining('lost its record') });
    for (let i = 0; i < 2; i++) expect(await reopen().read(log.headProof())).toBeUndefined();
  });

  test('without its keys at the witness the log is told so', async () => {
    const { anchor, log, options } = await openAnchor();
    options.logs.set(log.origin, [openSmallLog(join(root, 'stranger'), log.origin).key]);
    const refusal = await anchor.advance(1, log.headProof()).catch((fault: unknown) => fault);
    expect(refusal).toMatchObject({ code: 'AuditUnavailable', cause: { message: expect.stringContaining('403: it trusts none of the keys') } });
    options.logs.delete(log.origin);
    expect(await anchor.advance(1, log.headProof()).catch((fault: unknown) => fault)).toMatchObject({ cause: { message: expect.stringContaining('404: it does not know this log') } });
  });
});

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function checkpointOf({ origin, treeSize, rootHash }: AnchorProof, change: Partial<Checkpoint> = {}): Checkpoint {
  return { origin, size: treeSize, rootHash, ...change };
}
