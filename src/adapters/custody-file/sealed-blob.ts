/** The private part of one version as it lies on disk (docs/formats/sealed.md). */
import type { Aead } from '../../core/algorithm/table.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import { randomBytes } from 'node:crypto';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, aeads } from '../../core/algorithm/table.ts';
import { aeadOpen, aeadSeal } from '../../core/envelope/hpke.ts';
import { parseKid } from '../../core/key/kid.ts';
import { REVEAL } from '../../core/reveal.ts';
import { lockSecret } from '../root-key/sealing.ts';
import { EPOCH_BYTES } from '../root-key/root-keys.ts';

/** Where a blob belongs: in no other place does it open. */
export interface Place {
  /** `#vN` included. */
  readonly kid: string;
  /** Of the mutation that made the version. */
  readonly generation: number;
}

const FORMAT = 1;
const EPOCH_AT = 2;
const NONCE_AT = EPOCH_AT + EPOCH_BYTES;
const SEALED_AT = NONCE_AT + AEAD_NONCE_BYTES;
const GENERATION_BYTES = 8;

/** The seeds sealed to their place under the newest root key; the seeds stay the caller's. `nonce` is random but for vectors. */
export function sealBlob(seeds: Buffer, place: Place, aead: Aead, rootKeys: RootKeys, nonce: Buffer = randomBytes(AEAD_NONCE_BYTES)): Buffer {
  const epoch = rootKeys.current();
  const head = Buffer.concat([Buffer.of(FORMAT, aead.aeadId), Buffer.from(epoch, 'hex')]);
  const key = recordKey(place, epoch, rootKeys);
  if (key === undefined) throw new Error('the newest root key is there');
  try {
    return Buffer.concat([head, nonce, aeadSeal(aead, key.read(REVEAL), nonce, aadOf(head, place), seeds)]);
  } finally {
    key.destroy();
  }
}

/** The seeds, in locked memory of the caller's; undefined when blob, place or root key are not those it was sealed with. */
export function openBlob(blob: Buffer, place: Place, rootKeys: RootKeys, memory: LockedMemory): Buffer | undefined {
  const aead = Object.values(aeads).find(({ aeadId }) => aeadId === blob[1]);
  if (blob[0] !== FORMAT || aead === undefined || blob.length <= SEALED_AT + AEAD_TAG_BYTES) return undefined;
  const key = recordKey(place, epochOf(blob), rootKeys);
  if (key === undefined) return undefined;
  try {
    const seeds = aeadOpen(aead, key.read(REVEAL), blob.subarray(NONCE_AT, SEALED_AT), aadOf(blob.subarray(0, NONCE_AT), place), blob.subarray(SEALED_AT));
    return seeds && lockSecret(seeds, memory).read(REVEAL);
  } finally {
    key.destroy();
  }
}

/** Which root key it lies under. */
export function epochOf(blob: Buffer): string {
  return blob.toString('hex', EPOCH_AT, NONCE_AT);
}

function recordKey({ kid }: Place, epoch: string, rootKeys: RootKeys) {
  const parsed = parseKid(kid);
  return parsed && rootKeys.derive(epoch, `ron-kms::${parsed.tenant}::${parsed.purpose}::${kid}`);
}

function aadOf(head: Buffer, { kid, generation }: Place): Buffer {
  const generationBytes = Buffer.alloc(GENERATION_BYTES);
  generationBytes.writeBigUInt64BE(BigInt(generation));
  return Buffer.concat([head, generationBytes, Buffer.from(kid)]);
}
