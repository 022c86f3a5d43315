import type { Checkpoint } from './checkpoint.ts';
import type { SignatureLine } from './note.ts';
import type { SignatureType, VerifierKey } from './vkey.ts';
import { createPublicKey, verify } from 'node:crypto';
import { parseCheckpoint } from './checkpoint.ts';
import { cosignatureV1Message, cosignedMessage, parseTimestamped } from './cosignature.ts';
import { parseNote } from './note.ts';
import { SIGNATURE_TYPE } from './vkey.ts';

export interface VerifiedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Those of the given keys that signed, witnesses too; each once. */
  readonly signedBy: readonly VerifierKey[];
  /** When the log signed, POSIX seconds, as its ML-DSA-44 signature says; absent where no such key was given. */
  readonly timestampS?: number;
}

export interface NoteFault {
  readonly fault: string;
}

interface Signed {
  readonly key: VerifierKey;
  readonly timestampS?: number;
}

/** A log signs with both of these. A note that a key of both kinds was given for needs both: one broken algorithm is not enough. */
const LOG_TYPES: readonly SignatureType[] = [SIGNATURE_TYPE.ed25519, SIGNATURE_TYPE.mlDsa44Cosignature];

/** SubjectPublicKeyInfo up to the key itself (RFC 8410, RFC 9881). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const ML_DSA_44_SPKI = Buffer.from('30820532300b06096086480165030403110382052100', 'hex');

/**
 * Checks a signed checkpoint against keys known from elsewhere: those of the log, named as its origin, and any of
 * witnesses. Signatures of other keys say nothing and are passed over; a known key's signature that does not hold spoils
 * the note. Of a log that has changed its keys, give the one set that is believed: kinds are counted, not sets.
 */
export function verifyCheckpointNote(note: string, keys: readonly VerifierKey[]): VerifiedCheckpoint | NoteFault {
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (parsed === undefined || checkpoint === undefined) return { fault: 'this is not a signed checkpoint' };

  const signed = new Map<VerifierKey, Signed>();
  for (const line of parsed.signatures) {
    const key = keys.find(({ name, keyId }) => name === line.name && keyId.equals(line.keyId));
    if (key === undefined) continue;
    const outcome = checks[key.type](key, line, parsed.text, checkpoint);
    if (typeof outcome === 'string') return { fault: `the signature of ${nameOf(key)} ${outcome}` };
    signed.set(key, outcome);
  }

  const ownKeys = keys.filter(({ name, type }) => name === checkpoint.origin && LOG_TYPES.includes(type));
  if (ownKeys.length === 0) return { fault: `no key of the log ${checkpoint.origin} was given` };
  const own = ownKeys.flatMap((key) => signed.get(key) ?? []);
  const missing = LOG_TYPES.find((type) => ownKeys.some((key) => key.type === type) && !own.some(({ key }) => key.type === type));
  if (missing !== undefined) return { fault: `no known ${typeNames[missing]} key of the log signed this checkpoint` };

  const times = own.flatMap(({ timestampS }) => timestampS ?? []);
  return { checkpoint, signedBy: [...signed.keys()], ...(times.length > 0 && { timestampS: Math.max(...times) }) };
}

type Check = (key: VerifierKey, line: SignatureLine, text: string, checkpoint: Checkpoint) => Signed | string;

const WRONG = 'does not hold';

const timestamped = (messageOf: (timestampS: number, key: VerifierKey, text: string, checkpoint: Checkpoint) => Buffer): Check => (key, line, text, checkpoint) => {
  const parsed = parseTimestamped(line.signature);
  if (parsed === undefined) return WRONG;
  const { timestampS, signature } = parsed;
  const outcome = holds(key, messageOf(timestampS, key, text, checkpoint), signature);
  return outcome === true ? { key, timestampS } : outcome;
};

const checks: Readonly<Record<SignatureType, Check>> = {
  [SIGNATURE_TYPE.ed25519](key, { signature }, text) {
    const outcome = holds(key, Buffer.from(text, 'utf8'), signature);
    return outcome === true ? { key } : outcome;
  },
  [SIGNATURE_TYPE.ed25519Cosignature]: timestamped((timestampS, _key, text) => cosignatureV1Message(timestampS, text)),
  [SIGNATURE_TYPE.mlDsa44Cosignature]: timestamped((timestampS, { name }, _text, { origin, size, rootHash }) =>
    cosignedMessage({ cosignerName: name, timestampS, origin, start: 0, end: size, hash: rootHash })),
};

const typeNames: Readonly<Record<SignatureType, string>> = {
  [SIGNATURE_TYPE.ed25519]: 'Ed25519',
  [SIGNATURE_TYPE.ed25519Cosignature]: 'Ed25519 cosignature',
  [SIGNATURE_TYPE.mlDsa44Cosignature]: 'ML-DSA-44',
};

/** True, or what is wrong. Older Nodes know no ML-DSA: that is said, not taken for a bad signature. */
function holds({ type, publicKey }: VerifierKey, message: Buffer, signature: Buffer): true | string {
  const prefix = type === SIGNATURE_TYPE.mlDsa44Cosignature ? ML_DSA_44_SPKI : ED25519_SPKI;
  try {
    const key = createPublicKey({ key: Buffer.concat([prefix, publicKey]), format: 'der', type: 'spki' });
    return verify(undefined, message, key, signature) || WRONG;
  } catch {
    return 'cannot be checked: this Node does not know its algorithm';
  }
}

function nameOf({ name, keyId, type }: VerifierKey): string {
  return `${name} (${typeNames[type]}, ${keyId.toString('hex')})`;
}
