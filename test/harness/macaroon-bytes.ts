/** A second writer of macaroons, by libmacaroons' v2 text and not by our codec: it can write what ours refuses to. */
import { createHmac } from 'node:crypto';
import { ROOT_KEY_ID, ROOT_SECRET } from './service.ts';

interface ForgedCaveat {
  readonly id: string | Buffer;
  readonly location?: string;
  /** Makes it a third-party caveat. */
  readonly verificationId?: Buffer;
}

export interface ForgedToken {
  readonly identifier?: string | Buffer;
  readonly location?: string;
  readonly caveats: readonly (string | ForgedCaveat)[];
  readonly secret?: Buffer;
  /** Instead of the one that the chain gives. */
  readonly signature?: Buffer;
}

/** The bytes of a token whose chain is right unless a signature is given. */
export function forge({ identifier = `ron1.${ROOT_KEY_ID}.tester.t1`, location, caveats, secret = ROOT_SECRET, signature }: ForgedToken): Buffer {
  const all = caveats.map((caveat) => (typeof caveat === 'string' ? { id: caveat } : caveat));
  const parts: Buffer[] = [Buffer.of(2), ...locationField(location), field(2, identifier), Buffer.of(0)];
  for (const { id, location: at, verificationId } of all) {
    parts.push(...locationField(at), field(2, id), ...(verificationId === undefined ? [] : [field(4, verificationId)]), Buffer.of(0));
  }
  return Buffer.concat([...parts, Buffer.of(0), field(6, signature ?? chain(identifier, all, secret))]);
}

export function toToken(bytes: Buffer): string {
  return bytes.toString('base64url');
}

/** libmacaroons' v1 packets, as they were before v2. */
export function forgeV1(identifier: string, caveats: readonly string[]): Buffer {
  const signature = chain(identifier, caveats.map((id) => ({ id })), ROOT_SECRET);
  return Buffer.concat([packet('location', ''), packet('identifier', identifier), ...caveats.map((caveat) => packet('cid', caveat)), packet('signature', signature)]);
}

function packet(name: string, value: string | Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(`${name} `), Buffer.from(value), Buffer.from('\n')]);
  return Buffer.concat([Buffer.from((body.length + 4).toString(16).padStart(4, '0')), body]);
}

function chain(identifier: string | Buffer, caveats: readonly ForgedCaveat[], secret: Buffer): Buffer {
  let value = hmac(hmac('macaroons-key-generator', secret), identifier);
  // A third-party caveat binds both ids (libmacaroons, macaroon_hash2).
  for (const { id, verificationId } of caveats) value = verificationId === undefined ? hmac(value, id) : hmac(value, Buffer.concat([hmac(value, verificationId), hmac(value, id)]));
  return value;
}

function locationField(location: string | undefined): readonly Buffer[] {
  return location === undefined ? [] : [field(1, location)];
}

function field(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(type), lengthBytes(bytes.length), bytes]);
}

/** Unsigned LEB128. */
function lengthBytes(length: number): Buffer {
  const groups: number[] = [];
  let left = length;
  do {
    groups.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return Buffer.from(groups);
}

function hmac(key: string | Buffer, data: string | Buffer): Buffer {
  return createHmac('sha256', key).update(data).digest();
}
