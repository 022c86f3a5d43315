import { hash } from 'node:crypto';
import { isKeyName, readBase64 } from './strict-text.ts';

/** C2SP signature types: Ed25519 over the note text, and the two timestamped cosignatures. */
export const SIGNATURE_TYPE = { ed25519: 0x01, ed25519Cosignature: 0x04, mlDsa44Cosignature: 0x06 } as const;
export type SignatureType = (typeof SIGNATURE_TYPE)[keyof typeof SIGNATURE_TYPE];

export interface VerifierKey {
  readonly name: string;
  /** 4 bytes: which key a signature line means. No fingerprint; two keys may be made to share it. */
  readonly keyId: Buffer;
  readonly type: SignatureType;
  readonly publicKey: Buffer;
}

const publicKeyBytes: Readonly<Record<SignatureType, number>> = { 0x01: 32, 0x04: 32, 0x06: 1312 };
const KEY_ID_BYTES = 4;
const VKEY = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/;

export function vkeyOf(name: string, type: SignatureType, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw new RangeError('a key name has no spaces, no plus and at most 255 bytes');
  if (publicKey.length !== publicKeyBytes[type]) throw new RangeError('the public key has the wrong length for its type');
  return { name, keyId: keyIdOf(name, type, publicKey), type, publicKey: Buffer.from(publicKey) };
}

/** `<name>+<key id, 8 hex>+<base64 of type and public key>`; undefined when it is not one, or of a type not known here. */
export function parseVkey(text: string): VerifierKey | undefined {
  const [, name = '', keyIdHex, encoded = ''] = VKEY.exec(text) ?? [];
  const bytes = readBase64(encoded);
  const type = bytes?.[0];
  if (bytes === undefined || !isKeyName(name) || !isSignatureType(type) || bytes.length !== 1 + publicKeyBytes[type]) return undefined;
  const key = vkeyOf(name, type, bytes.subarray(1));
  return key.keyId.toString('hex') === keyIdHex ? key : undefined;
}

export function formatVkey({ name, keyId, type, publicKey }: VerifierKey): string {
  return `${name}+${keyId.toString('hex')}+${Buffer.concat([Buffer.of(type), publicKey]).toString('base64')}`;
}

function keyIdOf(name: string, type: SignatureType, publicKey: Uint8Array): Buffer {
  const input = Buffer.concat([Buffer.from(`${name}\n`, 'utf8'), Buffer.of(type), publicKey]);
  return Buffer.from(hash('sha256', input, 'hex'), 'hex').subarray(0, KEY_ID_BYTES);
}

function isSignatureType(type: number | undefined): type is SignatureType {
  return type !== undefined && type in publicKeyBytes;
}
