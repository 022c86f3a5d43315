/**
 * libmacaroons' v2 binary format, strictly: known fields in their order, minimal lengths, nothing
 * after the signature. As a token it is base64url without padding (DESIGN §5).
 */
import { decodeBase64Url } from '../base64.ts';

interface MacaroonCaveat {
  readonly id: Buffer;
  /** Carries a verification id: to be discharged by somebody else, which this service never accepts. */
  readonly isThirdParty: boolean;
}

export interface Macaroon {
  readonly identifier: Buffer;
  readonly caveats: readonly MacaroonCaveat[];
  readonly signature: Buffer;
}

export const CAVEATS_MAX = 64;
export const MACAROON_BYTES_MAX = 8192;
const SIGNATURE_BYTES = 32;

const TOKEN_CHARS_MAX = Math.ceil((MACAROON_BYTES_MAX * 4) / 3);
const V2 = 2;
const FIELD = { eos: 0, location: 1, identifier: 2, verificationId: 4, signature: 6 } as const;

/** The macaroon in a token; undefined when it cannot be decoded, or is over a limit. */
export function decodeToken(token: string): Macaroon | undefined {
  if (token.length > TOKEN_CHARS_MAX) return undefined;
  const bytes = decodeBase64Url(token);
  return bytes === undefined ? undefined : decode(new Reader(bytes));
}

export function encodeToken({ identifier, caveats, signature }: Macaroon): string {
  const parts = [Buffer.of(V2), ...field(FIELD.identifier, identifier), Buffer.of(FIELD.eos)];
  for (const { id } of caveats) parts.push(...field(FIELD.identifier, id), Buffer.of(FIELD.eos));
  parts.push(Buffer.of(FIELD.eos), ...field(FIELD.signature, signature));
  return Buffer.concat(parts).toString('base64url');
}

function decode(reader: Reader): Macaroon | undefined {
  if (reader.byte() !== V2) return undefined;
  const header = section(reader);
  if (header === undefined || header.isThirdParty) return undefined;
  const caveats: MacaroonCaveat[] = [];
  while (reader.peek() !== FIELD.eos) {
    const caveat = section(reader);
    if (caveat === undefined || caveats.length === CAVEATS_MAX) return undefined;
    caveats.push(caveat);
  }
  reader.byte();
  const signature = reader.field(FIELD.signature);
  if (signature?.length !== SIGNATURE_BYTES || !reader.atEnd()) return undefined;
  return { identifier: header.id, caveats, signature };
}

/** `[location] identifier [verification id] EOS`. */
function section(reader: Reader): MacaroonCaveat | undefined {
  if (reader.peek() === FIELD.location && reader.field(FIELD.location) === undefined) return undefined;
  const id = reader.field(FIELD.identifier);
  const isThirdParty = reader.peek() === FIELD.verificationId;
  if (isThirdParty && reader.field(FIELD.verificationId) === undefined) return undefined;
  return id === undefined || reader.byte() !== FIELD.eos ? undefined : { id, isThirdParty };
}

function field(type: number, bytes: Buffer): readonly Buffer[] {
  const length = bytes.length < 0x80 ? Buffer.of(bytes.length) : Buffer.of((bytes.length & 0x7f) | 0x80, bytes.length >> 7);
  return [Buffer.of(type), length, bytes];
}

/** Reads forward; past the end it gives undefined, which no field is. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  byte(): number | undefined {
    return this.#bytes[this.#at++];
  }

  atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  field(type: number): Buffer | undefined {
    if (this.byte() !== type) return undefined;
    const length = this.#length();
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** An unsigned LEB128 of one or two bytes, in its shortest form: enough for the size limit. */
  #length(): number | undefined {
    const low = this.byte();
    if (low === undefined || low < 0x80) return low;
    const high = this.byte();
    return high === undefined || high === 0 || high >= 0x80 ? undefined : (low & 0x7f) | (high << 7);
  }
}
