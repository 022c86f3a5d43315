import { decodeBase64 } from '../base64.ts';
import { parseStrictJson } from '../strict-json.ts';
import { deriveMacaroonKey } from './chain.ts';

export const ROOT_KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;
const SECRET_BYTES_MIN = 16;

/**
 * The macaroon keys, by root key id, of a key set `{"keys":[{"id","secret_b64"}]}` (DESIGN §5). The receiver
 * zeroes them. Throws on anything else, without saying what stood there.
 */
export function parseKeysetDocument(bytes: Buffer): Map<string, Buffer> {
  const document = parseStrictJson(bytes);
  if (!('keys' in document) || !Array.isArray(document.keys) || Object.keys(document).length !== 1) throw notAKeyset();
  const keys = new Map<string, Buffer>();
  for (const row of document.keys as unknown[]) {
    if (!isRow(row) || keys.has(row.id)) throw notAKeyset();
    const secret = decodeBase64(row.secret_b64);
    if (secret.length < SECRET_BYTES_MIN) throw new Error('a key of the key set is shorter than 16 bytes');
    keys.set(row.id, deriveMacaroonKey(secret));
    secret.fill(0);
  }
  return keys;
}

function isRow(row: unknown): row is { id: string; secret_b64: string } {
  return typeof row === 'object' && row !== null && Object.keys(row).length === 2
    && 'id' in row && typeof row.id === 'string' && ROOT_KEY_ID.test(row.id)
    && 'secret_b64' in row && typeof row.secret_b64 === 'string';
}

function notAKeyset(): Error {
  return new Error('a key set is {"keys":[{"id","secret_b64"}]}, each id once');
}
