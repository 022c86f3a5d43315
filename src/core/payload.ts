import { blake3Hex } from './digest.ts';
import { KmsError } from './errors.ts';

/** What a caller wants signed or verified: the bytes, or their BLAKE3. */
export type Payload = { readonly bytes: Buffer } | { readonly digestHex: string };

export interface Message {
  /** What the signature schemes sign: the digest for `b3` keys, the payload for `raw` keys. */
  readonly message: Buffer;
  /** BLAKE3 of the payload, hex. */
  readonly digestHex: string;
}

/** The message of a key with this `input`; a `raw` key cannot take a digest for its payload. */
export function messageOf(input: 'b3' | 'raw', payload: Payload): Message {
  const digestHex = 'bytes' in payload ? blake3Hex(payload.bytes) : payload.digestHex;
  if (input === 'b3') return { message: Buffer.from(digestHex, 'hex'), digestHex };
  if ('bytes' in payload) return { message: payload.bytes, digestHex };
  throw new KmsError('Unsupported', { hint: 'a key with input raw signs the payload itself: send payload_b64' });
}
