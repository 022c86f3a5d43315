/** The private parts that a token has no mechanism for, as they lie on disk (docs/formats/pkcs11.md). */
import type { TokenCalls } from './protocol.ts';
import { randomBytes } from 'node:crypto';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES, aeads } from '../../core/algorithm/table.ts';
import { aeadOpen, aeadSeal } from '../../core/envelope/hpke.ts';
import { SEAL_LABEL } from './protocol.ts';

/** A data key, and the same as the token gave it back: only it opens it, for this kid. */
export interface DataKey {
  /** 32 bytes; whoever has it zeroes it. */
  readonly key: Buffer;
  readonly wrapped: Buffer;
}

const FORMAT = 1;
const GENERATION_BYTES = 8;
const WRAPPED_BYTES = AEAD_NONCE_BYTES + AEAD_KEY_BYTES + AEAD_TAG_BYTES;
const NONCE_AT = 1 + WRAPPED_BYTES;
const SEALED_AT = NONCE_AT + AEAD_NONCE_BYTES;
const AEAD = aeads['AES-256-GCM'];

/** Random, and wrapped by the token's own key. Each is used once, so its nonce is as good as any. */
export async function makeDataKey(token: Pick<TokenCalls, 'encrypt'>, kid: string): Promise<DataKey> {
  const [key, nonce] = [randomBytes(AEAD_KEY_BYTES), randomBytes(AEAD_NONCE_BYTES)];
  const sealed = await token.encrypt(SEAL_LABEL, nonce, Buffer.from(kid), key);
  return { key, wrapped: Buffer.concat([nonce, sealed]) };
}

/** The seeds, bound to their place; zeroes the data key. `nonce` is random but for vectors. */
export function sealSeeds(seeds: Buffer, { key, wrapped }: DataKey, kid: string, generation: number, nonce: Buffer = randomBytes(AEAD_NONCE_BYTES)): Buffer {
  const head = Buffer.concat([Buffer.of(FORMAT), wrapped]);
  const sealed = aeadSeal(AEAD, key, nonce, aadOf(head, kid, generation), seeds);
  key.fill(0);
  return Buffer.concat([head, nonce, sealed]);
}

/** The seeds, which the caller zeroes; undefined when blob, place or token are not those that it was sealed with. */
export async function openSeeds(token: Pick<TokenCalls, 'decrypt'>, blob: Buffer, kid: string, generation: number): Promise<Buffer | undefined> {
  if (blob[0] !== FORMAT || blob.length <= SEALED_AT + AEAD_TAG_BYTES) return undefined;
  const head = blob.subarray(0, NONCE_AT);
  const opened = await token.decrypt(SEAL_LABEL, head.subarray(1, 1 + AEAD_NONCE_BYTES), Buffer.from(kid), head.subarray(1 + AEAD_NONCE_BYTES));
  if (opened === undefined) return undefined;
  const key = Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength);
  const seeds = aeadOpen(AEAD, key, blob.subarray(NONCE_AT, SEALED_AT), aadOf(head, kid, generation), blob.subarray(SEALED_AT));
  key.fill(0);
  return seeds;
}

function aadOf(head: Buffer, kid: string, generation: number): Buffer {
  const generationBytes = Buffer.alloc(GENERATION_BYTES);
  generationBytes.writeBigUInt64BE(BigInt(generation));
  return Buffer.concat([head, generationBytes, Buffer.from(kid)]);
}
