/** The formats once more, slowly, from docs/formats/envelope.md and docs/formats/token.md alone. */
import { sha256 } from '@noble/hashes/sha2.js';

const encBytes: Readonly<Record<number, number>> = { 0x0000: 12, 0x0020: 32, 0x0041: 1088, 0x0042: 1568, 0x647a: 1120 };

interface SlowEnvelope {
  readonly kid: string;
  readonly kemId: number;
  readonly kdfId: number;
  readonly aeadId: number;
  readonly header: Uint8Array;
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export function readEnvelopeSlowly(bytes: Uint8Array): SlowEnvelope {
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error('the envelope ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const u16 = (): number => {
    const [high = 0, low = 0] = take(2);
    return high * 256 + low;
  };
  if (text(take(3)) !== 'RKW' || take(1)[0] !== 1) throw new Error('not an envelope of format 01');
  const [kemId, kdfId, aeadId] = [u16(), u16(), u16()];
  const kid = text(take(u16()));
  const header = bytes.subarray(0, at);
  const enc = take(encBytes[kemId] ?? Number.NaN);
  return { kid, kemId, kdfId, aeadId, header, enc, ciphertext: bytes.subarray(at) };
}

export function writeEnvelopeSlowly({ kid, kemId, kdfId, aeadId, enc, ciphertext }: Omit<SlowEnvelope, 'header'>): Buffer {
  return Buffer.concat([slowHeader({ kid, kemId, kdfId, aeadId }), enc, ciphertext]);
}

export function slowHeader({ kid, kemId, kdfId, aeadId }: Pick<SlowEnvelope, 'kid' | 'kemId' | 'kdfId' | 'aeadId'>): Buffer {
  const numbers = [kemId, kdfId, aeadId, kid.length].flatMap((value) => [value >> 8, value & 0xff]);
  return Buffer.concat([bytesOf('RKW'), Buffer.of(1, ...numbers), bytesOf(kid)]);
}

/** RFC 2104 over SHA-256, word by word. */
function slowHmac(key: Uint8Array, message: Uint8Array): Uint8Array {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha256(key) : key);
  const inner = sha256(Buffer.concat([block.map((byte) => byte ^ 0x36), message]));
  return sha256(Buffer.concat([block.map((byte) => byte ^ 0x5c), inner]));
}

/** A token minted from a lent root secret: the chain, then libmacaroons' v2 binary form. */
export function mintSlowly(secret: Uint8Array, identifier: string, caveats: readonly string[]): string {
  let chain = slowHmac(slowHmac(bytesOf('macaroons-key-generator'), secret), bytesOf(identifier));
  for (const caveat of caveats) chain = slowHmac(chain, bytesOf(caveat));
  const sections = [identifier, ...caveats].map((id) => Buffer.concat([slowField(2, bytesOf(id)), Buffer.of(0)]));
  return Buffer.concat([Buffer.of(2), ...sections, Buffer.of(0), slowField(6, chain)]).toString('base64url');
}

function slowField(type: number, content: Uint8Array): Buffer {
  const length: number[] = [];
  for (let left = content.length; ; left >>= 7) {
    if (left < 128) return Buffer.concat([Buffer.of(type, ...length, left), content]);
    length.push((left % 128) + 128);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function bytesOf(value: string): Buffer {
  return Buffer.from(value, 'utf8');
}
