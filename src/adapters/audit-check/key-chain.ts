import type { SignatureType, VerifierKey } from '../../../client/src/log/vkey.ts';
import type { EntryDetail } from '../../core/log/entry.ts';
import type { OwnEntry } from './check-bundle.ts';
import type { LogFault } from './faults.ts';
import { createPublicKey, verify } from 'node:crypto';
import { parseVkey, SIGNATURE_TYPE } from '../../../client/src/log/vkey.ts';
import { parseRfc3339 } from '../../core/time.ts';

/** Keys of the log that sign together. */
interface Signers {
  /** Those of them that the pinned keys vouch for. */
  readonly keys: readonly VerifierKey[];
  /** Later than this they may not have signed. */
  readonly untilMs: number;
}

export interface KeyChain {
  /** Who may have signed a checkpoint of this size, the newest first: all of one set have to. */
  signersOf(size: number): readonly Signers[];
}

export interface KeyChainDeps {
  readonly pinned: readonly VerifierKey[];
  readonly origin: string;
  /** Every entry was read from the first on; else keys may have been announced where nobody looked. */
  readonly isWhole: boolean;
  report(fault: LogFault): void;
}

/** What one `log-keys` entry says. */
interface Announcement {
  readonly index: number;
  readonly keys: readonly VerifierKey[];
  readonly trusted: readonly VerifierKey[];
  /** When the keys before these stop to sign. */
  readonly oldUntilMs: number;
}

type LogKeys = NonNullable<EntryDetail['log_keys']>;

const ALWAYS = Number.POSITIVE_INFINITY;

/**
 * Follows the log's keys from those that are pinned through the entries that announce new ones (DESIGN §8): new keys
 * are believed when every key before them has signed them. After a compromise a signature of the old ones proves nothing.
 */
export function followKeys(entries: readonly OwnEntry[], { pinned, origin, isWhole, report }: KeyChainDeps): KeyChain {
  const chain: Announcement[] = [];
  for (const { index, detail } of entries.filter(({ op }) => op === 'log-keys').toSorted((a, b) => a.index - b.index)) {
    const fault = (what: string): void => report({ kind: 'log-keys', index, what });
    const logKeys = detail.log_keys;
    const keys = logKeys === undefined ? undefined : keysIn(logKeys);
    if (logKeys === undefined || keys === undefined) fault('does not name keys');
    else if (keys.some(({ name }) => name !== origin)) report({ kind: 'instance', index, what: `names keys of ${keys[0]?.name}, and this log is ${origin}` });
    else chain.push(announcementOf(index, { logKeys, keys }, { before: chain.at(-1), pinned, fault }));
  }
  if (isWhole && chain[0]?.index !== 0) report({ kind: 'log-keys', index: 0, what: 'does not name the first keys of the log' });

  return {
    signersOf(size) {
      const known = chain.filter(({ index }) => index < size).toReversed();
      if (known.length === 0) return isWhole ? [] : [{ keys: pinned, untilMs: ALWAYS }];
      let untilMs = ALWAYS;
      return known.map(({ trusted, oldUntilMs }) => {
        const signers = { keys: trusted, untilMs };
        untilMs = Math.min(untilMs, oldUntilMs);
        return signers;
      });
    },
  };
}

interface Chained {
  readonly before: Announcement | undefined;
  readonly pinned: readonly VerifierKey[];
  readonly fault: (what: string) => void;
}

function announcementOf(index: number, { logKeys, keys }: { readonly logKeys: LogKeys; readonly keys: readonly VerifierKey[] }, { before, pinned, fault }: Chained): Announcement {
  const unsigned = before?.keys.find((key) => !isSignedBy(key, logKeys, keys[0]?.name ?? ''));
  if (unsigned !== undefined) fault(`is not signed by ${unsigned.keyId.toString('hex')}, a key of entry ${before?.index}`);
  const isCompromise = logKeys.reason === 'compromised';
  const isVouchedFor = !isCompromise && before !== undefined && before.trusted.length > 0 && unsigned === undefined;
  // Without an end the keys before stop at once: that is how a compromise is announced.
  const untilMs = isCompromise ? undefined : parseRfc3339(logKeys.until ?? '');
  return { index, keys, trusted: isVouchedFor ? keys : pinnedOf(keys, pinned), oldUntilMs: untilMs ?? 0 };
}

/** The keys that are pinned; none where one of a kind is pinned and another stands here, as that would be a weaker pin than was meant. */
function pinnedOf(keys: readonly VerifierKey[], pinned: readonly VerifierKey[]): readonly VerifierKey[] {
  const known = keys.filter((key) => pinned.some((pin) => isSameKey(pin, key)));
  return pinned.every(({ type }) => known.some((key) => key.type === type)) ? known : [];
}

function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return a.name === b.name && a.type === b.type && a.publicKey.equals(b.publicKey);
}

/** Undefined where it is not a list of keys. What the entry holds was signed, and its form is still only hoped for. */
function keysIn({ keys }: LogKeys): readonly VerifierKey[] | undefined {
  const parsed = Array.isArray(keys) ? keys.map((text) => (typeof text === 'string' ? parseVkey(text) : undefined)) : [];
  return parsed.length > 0 && parsed.every((key) => key !== undefined) ? parsed : undefined;
}

const keyTypes: Readonly<Partial<Record<SignatureType, 'ed25519' | 'ml-dsa-44'>>> = { [SIGNATURE_TYPE.ed25519]: 'ed25519', [SIGNATURE_TYPE.mlDsa44Cosignature]: 'ml-dsa-44' };

function isSignedBy({ keyId, type, publicKey }: VerifierKey, { keys, signatures }: LogKeys, origin: string): boolean {
  const asymmetricKeyType = keyTypes[type];
  if (asymmetricKeyType === undefined || !Array.isArray(signatures)) return false;
  const message = Buffer.from(['ron-kms/log-keys/v1', origin, ...keys, ''].join('\n'), 'utf8');
  const key = createPublicKey({ key: publicKey, format: 'raw-public', asymmetricKeyType });
  return signatures.some((one) => one?.key_id === keyId.toString('hex') && typeof one.signature_b64 === 'string' && verify(undefined, message, key, Buffer.from(one.signature_b64, 'base64')));
}
