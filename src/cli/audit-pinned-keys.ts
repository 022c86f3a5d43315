import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { Io, Parsed } from './command.ts';
import { formatVkey, parseVkey, SIGNATURE_TYPE } from '../../client/src/log/vkey.ts';
import { UsageError } from './command.ts';
import { readSmall } from './files.ts';
import { flag, flagList } from './flags.ts';
import { printable } from './printable.ts';

export const pinOptions = { vkey: { type: 'string', multiple: true }, keys: { type: 'string' } } as const;

export const pinAbout = {
  vkey: 'a key of the log as init printed it; give both, and any of witnesses',
  keys: 'a file with them: what init --json printed, or one on each line',
} as const;

const WHERE_FROM = 'take them from where the log was made: --keys <what ron-kms init --json printed>, or --vkey for each; neither the service nor its directory can vouch for itself';

/** The keys that are believed: they were written down when the log was made, and are not in anything that is checked. */
export async function pinnedKeys(parsed: Parsed, io: Io): Promise<readonly VerifierKey[]> {
  const path = flag(parsed, 'keys');
  const texts = [...flagList(parsed, 'vkey'), ...(path === undefined ? [] : vkeysIn((await readSmall(path, io)).toString('utf8')))];
  if (texts.length === 0) throw new UsageError(path === undefined ? `the keys of the log are missing: ${WHERE_FROM}` : `${path} names no keys: ${WHERE_FROM}`);
  return texts.map((text) => {
    const key = parseVkey(text);
    if (key === undefined) throw new UsageError(`${printable(text.slice(0, 60))} is no verifier key: <name>+<8 hex>+<base64>, whose id fits its name and key`);
    return key;
  });
}

/** Of one kind only, the other signature goes unchecked: that is said, as it was perhaps not meant. */
export function missingKind(keys: readonly VerifierKey[], origin: string): string | undefined {
  const own = new Set(keys.filter(({ name }) => name === origin).map(({ type }) => type));
  if (own.size === 0 || (own.has(SIGNATURE_TYPE.ed25519) && own.has(SIGNATURE_TYPE.mlDsa44Cosignature))) return undefined;
  return `only the ${own.has(SIGNATURE_TYPE.ed25519) ? 'Ed25519' : 'ML-DSA-44'} key of the log was given: its other signature is not checked`;
}

const typeNames = { [SIGNATURE_TYPE.ed25519]: 'Ed25519', [SIGNATURE_TYPE.ed25519Cosignature]: 'Ed25519 cosignature', [SIGNATURE_TYPE.mlDsa44Cosignature]: 'ML-DSA-44' } as const;

/** A key for people; nobody reads one of 1,312 bytes. */
export function keyName({ name, type, keyId }: VerifierKey): string {
  return `${printable(name)} (${typeNames[type]}, ${keyId.toString('hex')})`;
}

export function vkeyTexts(keys: readonly VerifierKey[]): readonly string[] {
  return keys.map(formatVkey);
}

function vkeysIn(text: string): readonly string[] {
  if (!text.trimStart().startsWith('{')) return text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: readonly (string | { readonly vkey?: unknown })[] };
    // As init prints them, or as audit rotate-keys does.
    return (keys ?? []).map((key) => (typeof key === 'string' ? key : String(key.vkey)));
  } catch {
    return [];
  }
}
