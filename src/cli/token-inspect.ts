import type { Macaroon } from '../core/macaroon/codec.ts';
import type { Command, Io, Parsed } from './command.ts';
import { readCaveats } from '../core/macaroon/caveats.ts';
import { verifyChain } from '../core/macaroon/chain.ts';
import { decodeToken } from '../core/macaroon/codec.ts';
import { parseIdentifier } from '../core/macaroon/identifier.ts';
import { formatRfc3339, parseRfc3339 } from '../core/time.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { flag } from './flags.ts';
import { destroyKeyset, readKeyset } from './keyset-file.ts';
import { inWords, printable } from './printable.ts';
import { tokenFrom } from './token-source.ts';

/** What a token says of itself. Neither it nor its signature is printed: either is the token again. */
interface Inspection {
  readonly root_key_id: string;
  readonly client_id: string;
  readonly token_id: string;
  readonly caveats: readonly string[];
  readonly scopes: readonly string[];
  readonly expires?: string;
  readonly expired: boolean;
  readonly not_yet_valid: boolean;
  /** What every token needs and this one has not. */
  readonly missing: readonly string[];
  /** Caveats that a ron-kms does not know, each of which denies everything. */
  readonly unknown: readonly string[];
  readonly chain: 'valid' | 'invalid' | 'unknown root key' | 'not checked';
}

export const inspectCommand: Command = {
  name: 'token inspect',
  args: '[<token>|-]',
  summary: 'Show what a token says, offline',
  example: 'token inspect --token-file ci.token --keyset keyset.json',
  options: { keyset: { type: 'string' }, token: { type: 'string' }, 'token-file': { type: 'string' }, json: { type: 'boolean' } },
  about: {
    keyset: `check the chain with the root keys of this file; exit code ${EXIT.invalid} when it does not hold`,
    token: 'the token; other users see it there: RON_KMS_TOKEN or --token-file is safer', 'token-file': 'a file with the token', json: 'print it as JSON',
  },
  async run(parsed, io) {
    const macaroon = decodeToken(await tokenFrom(parsed, io, parsed.args[0]));
    if (macaroon === undefined) throw new UsageError('the token cannot be decoded');
    const nowMs = Date.now();
    const found = inspect(macaroon, await checkChain(macaroon, parsed, io), nowMs);
    print(parsed, io, found, () => describe(found, nowMs));
    return found.chain === 'valid' || found.chain === 'not checked' ? EXIT.ok : EXIT.invalid;
  },
};

const required = ['scope', 'tenant', 'expires'] as const;

function inspect(macaroon: Macaroon, chain: Inspection['chain'], nowMs: number): Inspection {
  const identity = parseIdentifier(macaroon.identifier);
  if (identity === undefined) throw new UsageError('the token is a macaroon, and not of ron-kms: its identifier is not ron1.<root key>.<client>.<token>');
  const caveats = macaroon.caveats.map(({ id }) => id.toString('utf8'));
  const isUnknown = (caveat: string, i: number): boolean => macaroon.caveats[i]?.isThirdParty === true || readCaveats([caveat]) === 'an unknown or malformed caveat';
  const known = caveats.filter((caveat, i) => !isUnknown(caveat, i));
  const expiresAtMs = earliest(valuesOf(known, 'expires'));
  // With stand-ins for what is missing, the rest is still put together as the service would.
  const left = readCaveats(['tenant = *', `expires = ${formatRfc3339(nowMs)}`, ...known]);
  return {
    root_key_id: identity.rootKeyId, client_id: identity.clientId, token_id: identity.tokenId,
    caveats,
    scopes: typeof left === 'string' ? [] : [...left.scopes],
    ...(expiresAtMs !== undefined && { expires: formatRfc3339(expiresAtMs) }),
    expired: expiresAtMs !== undefined && expiresAtMs < nowMs,
    not_yet_valid: valuesOf(known, 'not-before').some((text) => (parseRfc3339(text) ?? 0) > nowMs),
    missing: required.filter((name) => valuesOf(known, name).length === 0),
    unknown: caveats.filter(isUnknown),
    chain,
  };
}

function valuesOf(caveats: readonly string[], name: string): readonly string[] {
  const start = `${name} = `;
  return caveats.filter((caveat) => caveat.startsWith(start)).map((caveat) => caveat.slice(start.length));
}

function earliest(times: readonly string[]): number | undefined {
  const all = times.flatMap((text) => parseRfc3339(text) ?? []);
  return all.length === 0 ? undefined : Math.min(...all);
}

async function checkChain(macaroon: Macaroon, parsed: Parsed, io: Io): Promise<Inspection['chain']> {
  const path = flag(parsed, 'keyset');
  if (path === undefined) return 'not checked';
  const keyset = await readKeyset(path, io);
  try {
    const key = keyset.get(parseIdentifier(macaroon.identifier)?.rootKeyId ?? '');
    if (key === undefined) return 'unknown root key';
    return verifyChain(key, macaroon) === undefined ? 'invalid' : 'valid';
  } finally {
    destroyKeyset(keyset);
  }
}

const chainTexts: Readonly<Record<Inspection['chain'], string>> = {
  'valid': 'made with this root key, and not changed since',
  'invalid': 'NOT made with this root key, or changed since: every service refuses it',
  'unknown root key': 'NOT to be checked: the key set has no such root key',
  'not checked': 'not checked: anybody can write such a token; --keyset checks who made it',
};

function describe(found: Inspection, nowMs: number): string {
  return [
    `client ${found.client_id}, token ${found.token_id}, root key ${found.root_key_id}`,
    `  expires    ${expiryText(found, nowMs)}`,
    ...(found.not_yet_valid ? ['  begins     later: not yet valid'] : []),
    `  scopes     ${found.scopes.join(' ') || 'none'}`,
    ...found.caveats.map((caveat, i) => `  ${i === 0 ? 'caveats' : '       '}    ${printable(caveat)}`),
    ...(found.missing.length === 0 ? [] : [`  missing    ${found.missing.join(', ')}: denied everywhere without`]),
    ...(found.unknown.length === 0 ? [] : [`  unknown    ${found.unknown.map(printable).join('; ')}: denied everywhere with it`]),
    `  chain      ${chainTexts[found.chain]}`,
  ].join('\n');
}

function expiryText({ expires, expired }: Inspection, nowMs: number): string {
  if (expires === undefined) return 'never, which no service takes';
  const length = inWords(Date.parse(expires) - nowMs);
  return expired ? `${expires}, EXPIRED ${length} ago` : `${expires}, in ${length}`;
}
