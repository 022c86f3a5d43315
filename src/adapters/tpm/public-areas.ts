/** Public areas of the objects that are made here (TPM 2.0 Part 2 §12.2), and what is read of them. */
import type { Point } from './sessions.ts';
import { NULL_ALG, SHA256 } from './commands.ts';
import { TpmFault } from './faults.ts';
import { readerOf, sized, u16, u32, u8 } from './marshal.ts';
import { sha256 } from './sessions.ts';

const ECC = 0x0023;
const KEYED_HASH = 0x0008;
const ECDSA = 0x0018;
const AES = 0x0006;
const CFB = 0x0043;
const P256 = 0x0003;

/** TPMA_OBJECT. */
const FIXED = 0x02 | 0x10;
const SENSITIVE_DATA_ORIGIN = 0x20;
const USER_WITH_AUTH = 0x40;
/** Wrong auth values do not lock the TPM: there is none, or nobody can guess it. */
const NO_DA = 0x400;
const RESTRICTED = 0x1_0000;
const DECRYPT = 0x2_0000;
const SIGN = 0x4_0000;

const NO_UNIQUE = Buffer.concat([sized(Buffer.alloc(0)), sized(Buffer.alloc(0))]);

function area(type: number, attributes: number, policy: Buffer, rest: Buffer): Buffer {
  return Buffer.concat([u16(type), u16(SHA256), u32(attributes), sized(policy), rest]);
}

/** The storage key that all else lies under: P-256 and AES-128-CFB, as the TCG's provisioning guidance has it; the same on each start. */
export const STORAGE_KEY = area(ECC, FIXED | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | DECRYPT, Buffer.alloc(0),
  Buffer.concat([u16(AES), u16(128), u16(CFB), u16(NULL_ALG), u16(P256), u16(NULL_ALG), NO_UNIQUE]));

/** An attestation key: ECDSA on P-256, restricted to what the TPM itself says. */
export const ATTESTATION_KEY = area(ECC, FIXED | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | SIGN, Buffer.alloc(0),
  Buffer.concat([u16(NULL_ALG), u16(ECDSA), u16(SHA256), u16(P256), u16(NULL_ALG), NO_UNIQUE]));

/** Sealed data, opened by the policy alone. With a PIN wrong ones count. */
export function sealedData(policy: Buffer, hasPin: boolean): Buffer {
  return area(KEYED_HASH, FIXED | (hasPin ? 0 : NO_DA), policy, Buffer.concat([u16(NULL_ALG), sized(Buffer.alloc(0))]));
}

/** The hash that stands for an object (Part 1 §16). */
export function nameOf(publicArea: Buffer): Buffer {
  return Buffer.concat([u16(SHA256), sha256(publicArea)]);
}

/** Of the public area of a P-256 key. */
export function pointOf(publicArea: Buffer): Point {
  const reader = readerOf(publicArea);
  if (reader.u16() !== ECC || reader.u16() !== SHA256) throw new TpmFault('answer', 'the TPM made another kind of key than it was asked for');
  reader.u32();
  reader.sized();
  if (reader.u16() !== NULL_ALG) reader.bytes(4);
  if (reader.u16() !== NULL_ALG) reader.u16();
  if (reader.u16() !== P256) throw new TpmFault('answer', 'the TPM made another kind of key than it was asked for');
  if (reader.u16() !== NULL_ALG) reader.u16();
  return { x: reader.sized(), y: reader.sized() };
}

/** TPML_PCR_SELECTION of these PCRs in the SHA-256 bank. */
export function pcrSelection(pcrs: readonly number[]): Buffer {
  const bits = Buffer.alloc(3);
  for (const pcr of pcrs) bits.writeUInt8(bits.readUInt8(pcr >> 3) | (1 << (pcr & 7)), pcr >> 3);
  return Buffer.concat([u32(1), u16(SHA256), u8(bits.length), bits]);
}
