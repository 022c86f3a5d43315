import type { AuditEvent } from '../src/core/log/entry.ts';
import type { Instance } from './instance.ts';
import { readFileSync } from 'node:fs';
import { createPoolGate } from '../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../src/adapters/crypto/signatures.ts';
import { systemClock } from '../src/adapters/system/clock.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { createSystemRandom } from '../src/adapters/system/random.ts';
import { createDevices } from '../src/compose/devices.ts';
import { openAudit } from '../src/compose/audit.ts';
import { openInstance } from '../src/compose/open-instance.ts';
import { loadConfig } from '../src/config/load.ts';

const BATCH = 512;
const BATCHES_AT_ONCE = 3;
/** Between two checkpoints. */
const STRIDE = 32_768;
const TOLD_EVERY = 1_000_000;
const KEYS = 1000;

/** Signatures of a thousand keys, as many as are asked for, appended by the log itself; it is sealed at the end. */
export async function fillLog({ configPath }: Instance, entries: number, signal: AbortSignal, progress: (line: string) => void): Promise<void> {
  const memory = createLockedMemory();
  const config = loadConfig({ file: { path: configPath, text: readFileSync(configPath, 'utf8') }, environment: {}, flags: { 'audit-durability': 'os' } });
  const instance = await openInstance({ config, memory, environment: {}, credentialsDirectory: undefined });
  const { log } = await openAudit({
    config, memory, instance, clock: systemClock, random: createSystemRandom(),
    signatures: createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: createPublicKeyCache(1) }),
    devices: createDevices({ settings: config.settings, environment: {} }),
  });
  try {
    let told = TOLD_EVERY;
    let covered = 0;
    while (log.size() < entries) {
      signal.throwIfAborted();
      const from = log.size();
      await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, (_, batch) => log.append(batchFrom(from + batch * BATCH))));
      if (from >= covered) {
        // Tiles are written in the checkpoint's turn; faster than they can be, nothing is taken.
        await log.checkpointNow();
        covered = from + STRIDE;
      }
      if (log.size() < told) continue;
      progress(`large log  ${told.toLocaleString('en')} entries written`);
      told += TOLD_EVERY;
    }
  } finally {
    await log.stop();
    instance.rootKeys.destroy();
  }
}

function batchFrom(first: number): readonly AuditEvent[] {
  return Array.from({ length: BATCH }, (_, i) => signatureOf(first + i));
}

function signatureOf(number: number): AuditEvent {
  const opId = `01932c07-0000-7000-8000-${String(number).padStart(12, '0')}`;
  return {
    op: 'sign', op_id: opId, corr_id: opId, tenant: 'core', kid: `core/bench/ed25519/01932c07-0000-7000-8000-${String(number % KEYS).padStart(12, '0')}#v1`,
    alg: 'ed25519', purpose: 'bench', input_hash: 'ab'.repeat(32), result: 'ok', reason: undefined,
    actor: { client_id: 'bench', root_key_id: 'bench', token_id: 'bench', via: 'tcp', peer: '127.0.0.1' }, policy: undefined, generation: undefined,
  };
}
