import type { EvidenceConfig } from '../../src/service/evidence.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createEvidence } from '../../src/service/evidence.ts';

const CONFIG: EvidenceConfig = { given: new Set(['tpm-sealed']), accepted: new Set(['tpm-sealed']), isRequired: true };
const VERSION: VersionRecord = { version: 1, kid: 'core/a/ed25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1', kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'tpm-sealed', publicParts: [] };
const REQUIRED = { isEvidenceRequired: true, isEvidenceOffered: true };

test('a device that never answers is waited for three seconds, and behind that nobody waits for it', { timeout: 20_000 }, async () => {
  let asked = 0;
  const evidence = createEvidence({
    attest: () => {
      asked++;
      return new Promise<Buffer>(() => undefined);
    },
    standing: () => ({ tree_size: 0 }), clock: systemClock, random: createSystemRandom(), telemetry: { attested: () => undefined, event: () => undefined }, config: () => CONFIG,
  });
  const sign = () => evidence.forSigning(VERSION, Buffer.alloc(32), { isAsked: false, decision: REQUIRED });
  await expect(sign()).rejects.toMatchObject({ code: 'AttestationMissing' });
  expect([asked, evidence.isReady()]).toEqual([1, false]);
  await expect(sign()).rejects.toMatchObject({ code: 'AttestationMissing' });
  expect(asked).toBe(1);
});
