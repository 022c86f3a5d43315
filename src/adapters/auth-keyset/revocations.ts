import type { TokenIdentity } from '../../core/macaroon/identifier.ts';
import { parseStrictJson } from '../../core/strict-json.ts';

export interface Revocations {
  covers(identity: TokenIdentity): boolean;
}

export const noRevocations: Revocations = { covers: () => false };

const FIELDS = ['token_ids', 'client_ids', 'root_key_ids'] as const;

/** `{"token_ids":[],"client_ids":[],"root_key_ids":[]}`, each field optional; throws on anything else. */
export function parseRevocations(bytes: Buffer): Revocations {
  const document = parseStrictJson(bytes);
  if (Object.keys(document).some((name) => !FIELDS.some((field) => field === name))) throw notAList();
  const [tokenIds, clientIds, rootKeyIds] = FIELDS.map((field) => {
    const ids: unknown = Object.hasOwn(document, field) ? Reflect.get(document, field) : [];
    if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) throw notAList();
    return new Set<string>(ids);
  });
  return {
    covers: ({ tokenId, clientId, rootKeyId }) => tokenIds?.has(tokenId) === true || clientIds?.has(clientId) === true || rootKeyIds?.has(rootKeyId) === true,
  };
}

function notAList(): Error {
  return new Error('a revocation list is {"token_ids":[],"client_ids":[],"root_key_ids":[]}');
}
