import type { Io } from './command.ts';
import { randomBytes } from 'node:crypto';
import { parseKeysetDocument, ROOT_KEY_ID } from '../core/macaroon/keyset.ts';
import { UsageError } from './command.ts';
import { readSmall, writeNew } from './files.ts';

const SECRET_BYTES = 32;

/** Macaroon keys by root key id, as a developer's key set file has them (DESIGN §5). The caller zeroes them. */
export async function readKeyset(path: string, io: Io): Promise<ReadonlyMap<string, Buffer>> {
  const bytes = await readSmall(path, io);
  try {
    return parseKeysetDocument(bytes);
  } catch {
    // What stood there may be a secret in another form: it is not repeated.
    throw new UsageError(`${path} is not a key set: {"keys":[{"id","secret_b64"}]}; ron-kms token new-keyset makes one`);
  } finally {
    bytes.fill(0);
  }
}

/** A file of mode 0600 with one random secret. Nothing is ever overwritten. */
export async function writeKeyset(path: string, id: string, io: Io): Promise<void> {
  if (!ROOT_KEY_ID.test(id)) throw new UsageError('--key is 1 to 64 letters, digits, _ or -');
  const secret = randomBytes(SECRET_BYTES);
  await writeNew(path, `${JSON.stringify({ keys: [{ id, secret_b64: secret.toString('base64') }] })}\n`, io);
  secret.fill(0);
}

export function destroyKeyset(keyset: ReadonlyMap<string, Buffer>): void {
  for (const key of keyset.values()) key.fill(0);
}
