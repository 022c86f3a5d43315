import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { Anchor } from '../../src/ports/anchor.ts';
import type { Anchoring } from '../../src/service/anchoring.ts';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { createFileAnchor } from '../../src/adapters/anchor-file/anchor.ts';
import { createWitnessAnchor } from '../../src/adapters/anchor-witness/anchor.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { createMemoryLogSigner } from '../../src/adapters/log-keys/open.ts';
import { systemClock as clock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createAnchoring } from '../../src/service/anchoring.ts';
import { eventOf } from '../contract/audit-log.ts';
import { makeWitnessKey, readRecords, startWitness } from '../harness/witness.ts';
import { createOurPrimitives } from '../vectors/our-primitives.ts';

const root = mkdtempSync(join(tmpdir(), 'anchoring-log-'));
const random = createSystemRandom();
const { primitives: { signatures }, memory } = createOurPrimitives();
const signer = await createMemoryLogSigner({ instanceId: random.uuidv7(), signatures, memory, keyOverlapMs: 1000, nowMs: clock.wallMs() });
const logKeys = signer.keys().flatMap(({ vkey }) => parseVkey(vkey) ?? []);
const witnessKey = makeWitnessKey();
const witness = await startWitness({ signer: witnessKey, logs: new Map([[signer.origin, logKeys]]), recordPath: join(root, 'witness.json') });
afterAll(async () => {
  await witness.stop();
  rmSync(root, { recursive: true });
});

interface Started {
  readonly log: Log;
  readonly anchoring: Anchoring;
  mutate(): Promise<number>;
}

/** The service's own log, with its two keys, on disk. */
async function start(directory: string, anchor: Anchor): Promise<Started> {
  const log = await openLog({ storage: await openFileStorage(directory), signer, clock, random, options: { durability: 'disk', checkpointEveryOps: 5000 } });
  const headProof = () => {
    const proof = log.anchorProof();
    if (proof === undefined) throw new Error('no checkpoint');
    return proof;
  };
  const silent = { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: () => undefined };
  const anchoring = createAnchoring({ integrity: { fail: () => undefined }, anchor, clock, random, telemetry: silent, intervalMs: 3_600_000, log: { ...log, headProof } });
  await anchoring.start();
  return {
    log, anchoring,
    async mutate() {
      const { firstIndex } = await log.append([eventOf('outcome')], { mustFlush: true });
      await anchoring.afterMutation();
      return firstIndex;
    },
  };
}

const anchors: readonly (readonly [string, (place: string) => Anchor])[] = [
  ['file', (place) => createFileAnchor({ path: join(place, 'medium', 'anchor'), origin: signer.origin, mac: signer.mac })],
  ['witness', () => createWitnessAnchor({ url: witness.url, key: witnessKey.key, logKeys: () => logKeys, clock })],
];

describe.each(anchors)('the log on disk, anchored by %s', (name, open) => {
  const place = join(root, name);
  const directory = join(place, 'log');
  mkdirSync(join(place, 'medium'), { recursive: true });

  test('goes on over restarts, and an older copy of it is refused at every start', async () => {
    for (let starts = 1; starts <= 3; starts++) {
      const { log, anchoring, mutate } = await start(directory, open(place));
      expect([anchoring.mismatch(), anchoring.isReachable()]).toEqual([undefined, true]);
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => mutate()));
      expect(log.anchorProof()?.treeSize).toBeGreaterThan(Math.max(...outcomes));
      if (name === 'witness') {
        expect(readRecords(join(root, 'witness.json'))[signer.origin]?.size).toBe(log.size());
        expect(verifyCheckpointNote(log.checkpoint()?.note ?? '', [...logKeys, witnessKey.key])).toMatchObject({ signedBy: [...logKeys, witnessKey.key] });
      }
      await log.stop();
      if (starts === 1) cpSync(directory, `${directory}.older`, { recursive: true });
    }
    rmSync(directory, { recursive: true });
    cpSync(`${directory}.older`, directory, { recursive: true });
    for (let starts = 1; starts <= 2; starts++) {
      const { log, anchoring, mutate } = await start(directory, open(place));
      expect(anchoring.mismatch()).toContain('an older copy of the log was restored');
      expect(log.integrityFault()).toBeUndefined();
      await expect(mutate()).rejects.toMatchObject({ code: 'AuditUnavailable' });
      await log.stop();
    }
  });
});
