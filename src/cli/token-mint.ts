import type { Command, Io, Parsed } from './command.ts';
import { randomUUIDv7 } from 'node:crypto';
import { readCaveats } from '../core/macaroon/caveats.ts';
import { mint } from '../core/macaroon/chain.ts';
import { encodeToken } from '../core/macaroon/codec.ts';
import { formatIdentifier, parseIdentifier } from '../core/macaroon/identifier.ts';
import { formatRfc3339 } from '../core/time.ts';
import { print, remark } from './answer.ts';
import { caveatAbout, caveatOptions, caveatsFrom } from './caveat-flags.ts';
import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { flag, neededFlag } from './flags.ts';
import { destroyKeyset, readKeyset, writeKeyset } from './keyset-file.ts';
import { inWords } from './printable.ts';

const KEY_ID_DEFAULT = 'dev';
/** What `auth.max_token_lifetime` is unless it is set. */
const LIFETIME_USUAL_MS = 30 * 86_400_000;

export const newKeysetCommand: Command = {
  name: 'token new-keyset',
  args: '<file>',
  summary: 'Make a key set with a random root key, for a developer\'s machine',
  example: 'token new-keyset keyset.json',
  options: { key: { type: 'string' }, json: { type: 'boolean' } },
  about: { key: `id of the root key, ${KEY_ID_DEFAULT} when left out`, json: 'print the path and the id as JSON' },
  async run(parsed, io) {
    const path = parsed.args[0] ?? '';
    const id = flag(parsed, 'key') ?? KEY_ID_DEFAULT;
    await writeKeyset(path, id, io);
    print(parsed, io, { path, key_ids: [id] }, () =>
      `${path} holds root key ${id}, mode 0600\n  serve with  ron-kms serve --profile micronode --auth-keyset-path ${path}\n  mint with   ron-kms token mint --keyset ${path} --client me --tenant core --scope sign,verify --expires 1h`);
    return EXIT.ok;
  },
};

/** Stands in for ron-auth on a developer's machine; calls nobody. */
export const mintCommand: Command = {
  name: 'token mint',
  summary: 'Make a token from a root key, offline',
  example: 'token mint --keyset keyset.json --client ci --tenant core --scope sign,verify --expires 1h',
  options: { keyset: { type: 'string' }, key: { type: 'string' }, client: { type: 'string' }, 'token-id': { type: 'string' }, ...caveatOptions, json: { type: 'boolean' } },
  about: {
    keyset: 'the key set file', key: 'id of the root key, where the file has more than one', client: 'id of the client it is for',
    'token-id': 'its id, to revoke it by; a UUIDv7 when left out', ...caveatAbout, json: 'print the token with what it says as JSON',
  },
  async run(parsed, io) {
    const keysetPath = neededFlag(parsed, 'keyset', 'the key set file; ron-kms token new-keyset makes one');
    const clientId = neededFlag(parsed, 'client', 'the id of the client it is for');
    const caveats = caveatsFrom(parsed);
    requireUsable(caveats, parsed, io);
    const keyset = await readKeyset(keysetPath, io);
    try {
      const rootKeyId = rootKeyIdOf(parsed, keyset);
      const identity = { rootKeyId, clientId, tokenId: flag(parsed, 'token-id') ?? randomUUIDv7() };
      const identifier = formatIdentifier(identity);
      if (parseIdentifier(Buffer.from(identifier)) === undefined) throw new UsageError('--client and --token-id are 1 to 64 letters, digits, _ or -');
      const token = encodeToken(mint(keyset.get(rootKeyId) ?? Buffer.alloc(0), identifier, caveats));
      print(parsed, io, { token, root_key_id: rootKeyId, client_id: clientId, token_id: identity.tokenId, caveats }, () => token);
      return EXIT.ok;
    } finally {
      destroyKeyset(keyset);
    }
  },
};

const flagOfFault: Readonly<Record<string, string>> = { 'no scope': '--scope', 'no tenant': '--tenant', 'no expiry': '--expires' };

function requireUsable(caveats: readonly string[], parsed: Parsed, io: Io): void {
  const left = readCaveats(caveats);
  if (typeof left === 'string') throw new UsageError(`${flagOfFault[left] ?? left} is missing: a token without it is denied everywhere`);
  const nowMs = Date.now();
  if (left.expiresAtMs <= (left.notBeforeMs ?? nowMs)) throw new UsageError('--expires is over before the token is good');
  if (left.expiresAtMs - Math.min(nowMs, left.firstNotBeforeMs ?? nowMs) > LIFETIME_USUAL_MS) {
    remark(parsed, io, `it lives ${inWords(left.expiresAtMs - nowMs)}, until ${formatRfc3339(left.expiresAtMs)}; a service takes at most auth.max_token_lifetime, 30 days unless set`);
  }
}

function rootKeyIdOf(parsed: Parsed, keyset: ReadonlyMap<string, Buffer>): string {
  const ids = [...keyset.keys()];
  const [only] = ids;
  if (only === undefined) throw new UsageError('the key set is empty; ron-kms token new-keyset makes another');
  const asked = flag(parsed, 'key');
  if (asked === undefined && ids.length > 1) throw new UsageError(`--key is missing: the key set has ${ids.join(', ')}`);
  if (asked !== undefined && !keyset.has(asked)) throw new UsageError(`the key set has no key of this --key; it has ${ids.join(', ')}`);
  return asked ?? only;
}
