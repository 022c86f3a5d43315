import type { KeySpec } from '../../src/core/algorithm/table.ts';
import type { PrivateParts } from '../../src/adapters/crypto/private-parts.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { Asked, Told } from './outside-custody.ts';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { newSeeds, privatePartsFrom, usesOf } from '../../src/adapters/crypto/private-parts.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { parseKid } from '../../src/core/key/kid.ts';

/** The device of `outside-custody`: holds keys in a directory, as a token does in its flash. node outside-custody-process.ts <directory> */
const [directory = ''] = process.argv.slice(2);
const memory = createLockedMemory();
const publicKeys = createPublicKeyCache(16);
const deps = { memory, primitives: { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys }), kems: createKemPrimitives(publicKeys) } };
const held = new Map<string, PrivateParts>();

function fileOf(kid: string): string {
  return join(directory, Buffer.from(kid).toString('base64url'));
}

function take(kid: string, spec: KeySpec, seeds: Buffer): PrivateParts {
  const parts = privatePartsFrom(spec, seeds, deps);
  held.set(kid, parts);
  return parts;
}

function partsOf({ kid, publicParts }: VersionRecord): PrivateParts {
  const parsed = parseKid(kid);
  const known = held.get(kid);
  if (known !== undefined) return known;
  if (parsed === undefined || !existsSync(fileOf(kid))) throw new Error('this device does not hold it');
  return take(kid, specOf(parsed.alg, publicParts.find(({ parameterSet }) => parameterSet !== undefined)?.parameterSet), readFileSync(fileOf(kid)));
}

const custody: Custody = {
  ...usesOf(partsOf),
  async generate(kid, spec) {
    const seeds = newSeeds(spec, deps);
    writeFileSync(fileOf(kid), seeds);
    return { publicParts: take(kid, spec, seeds).publicParts, attestationClass: 'outside' };
  },
  async erase({ kid }) {
    held.delete(kid);
  },
  async probe() {},
};

const calls = custody as unknown as Readonly<Record<string, (...args: readonly unknown[]) => Promise<unknown>>>;
const tell = (told: Told): void => { process.send?.(told); };

process.on('message', ({ id, call, args }: Asked) => {
  calls[call]?.(...args).then(
    (value) => tell({ id, value }),
    (fault: unknown) => tell({ id, fault: fault instanceof Error ? fault.message : 'no error' }),
  );
});
tell({ id: 0, value: 'ready' });
