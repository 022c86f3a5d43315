/** Evidence of where a key is held (docs/formats/evidence.md): a statement of the service, and what a device says to it. */
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { sha256 } from './hash.ts';
import { readBase64 } from './strict-text.ts';

/** What the service states; the device's key is over it, byte by byte. */
export interface EvidenceStatement {
  readonly v: 1;
  /** Of the version: `pkcs11`, `pkcs11-wrapped`, `tpm-sealed`; of log keys the backend. */
  readonly class: string;
  /** A version of a key, with the SHA-256 of its public parts one after the other; or the keys of a log. */
  readonly subject: { readonly kid: string; readonly public_sha256: string } | { readonly log_keys: readonly string[] };
  /** What the asker chose; of evidence that several answers share, a random one. */
  readonly nonce_b64: string;
  /** The log as it stood. */
  readonly origin: string;
  readonly tree_size: number;
  readonly root_hash_b64?: string;
  readonly generation?: number;
  readonly made_at: string;
  readonly device: TpmState | TokenState;
}

/** What of a machine the quote covers. */
export interface TpmState {
  readonly kind: 'tpm';
  /** In the SHA-256 bank. */
  readonly pcrs: readonly number[];
}

/** A token as it describes itself and what it holds. */
export interface TokenState {
  readonly kind: 'pkcs11';
  readonly token: Readonly<Record<'label' | 'manufacturer' | 'model' | 'serial' | 'firmware' | 'slot', string>>;
  /** By label; the key's own, or those that seal it. */
  readonly objects: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
}

/** What the checker knows, or wants. */
export interface EvidencePins {
  /** Attestation keys that are trusted: `p256:…` of a TPM, `ed25519:…` of a token, base64. */
  readonly keys: readonly string[];
  readonly nonce?: Uint8Array;
  readonly kid?: string;
  /** SHA-256 of the version's public parts, one after the other. */
  readonly publicSha256?: string;
  readonly classes?: readonly string[];
  /** SHA-256 over the values of the PCRs, in order; hex. */
  readonly pcrDigest?: string;
  /** No older than this, RFC 3339. */
  readonly notBefore?: string;
}

export interface CheckedEvidence {
  readonly ok: boolean;
  /** What is wrong; empty when it is good. */
  readonly problems: readonly string[];
  readonly statement?: EvidenceStatement;
  /** What the TPM said besides. Its counts and firmware are veiled by an offset of the key's (Part 1 §36.7): equal ones are of one boot. */
  readonly tpm?: { readonly pcrDigest: string; readonly clockMs: bigint; readonly resetCount: number; readonly restartCount: number; readonly firmware: string };
}

export const EVIDENCE_CONTEXT = 'ron-kms/evidence/v1\n';
const TPM_GENERATED = 0xff544347;
const ATTEST_QUOTE = 0x8018;
const SHA256 = 0x000b;
const P256_POINT_BYTES = 65;
const ED25519_BYTES = 32;
const SPKI = { p256: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'), ed25519: Buffer.from('302a300506032b6570032100', 'hex') };
/** What a token has to say of a key that was made inside and never leaves. */
const STAYING: Readonly<Record<string, boolean>> = { token: true, private: true, sensitive: true, always_sensitive: true, extractable: false, never_extractable: true, local: true };

/** Checks evidence with nothing but it and what is pinned. Never throws on what came from outside. */
export function checkEvidence(bytes: Uint8Array, pins: EvidencePins): CheckedEvidence {
  const parsed = parse(bytes);
  if (parsed === undefined) return { ok: false, problems: ['this is not evidence of version 1'] };
  const { key, statementBytes, statement, proof } = parsed;
  const problems: string[] = [];
  const hold = (isGood: boolean, problem: string): void => { if (!isGood) problems.push(problem); };

  hold(pins.keys.includes(key), `it is by the key ${key}, which is not among those that are trusted`);
  const isTpm = statement.device.kind === 'tpm';
  const message = Buffer.concat([Buffer.from(EVIDENCE_CONTEXT), statementBytes]);
  const quoted = isTpm ? quoteIn(proof.quoted) : undefined;
  if (isTpm) {
    hold(proof.quoted !== undefined && isSigned(key, 'p256', proof.quoted, proof.signature), 'the TPM\'s signature is wrong');
    hold(quoted !== undefined && quoted.extraData.equals(sha256(message)), 'what the TPM signed is not over this statement');
    hold(quoted !== undefined && sameNumbers(quoted.pcrs, statement.device.kind === 'tpm' ? statement.device.pcrs : []), 'the TPM signed other PCRs than the statement names');
    if (pins.pcrDigest !== undefined) hold(quoted?.pcrDigest === pins.pcrDigest.toLowerCase(), `the PCRs are not those that were wanted: their digest is ${quoted?.pcrDigest ?? 'not there'}`);
  } else {
    hold(isSigned(key, 'ed25519', message, proof.signature), 'the token\'s signature is wrong');
    for (const problem of problemsOfObjects(statement.device)) problems.push(problem);
    if (pins.pcrDigest !== undefined) problems.push('there are no PCRs in what a token says');
  }
  if (pins.nonce !== undefined) hold(Buffer.from(statement.nonce_b64, 'base64').equals(pins.nonce), 'it is for another nonce: somebody else asked for it, or it is an old one');
  if (pins.kid !== undefined) hold('kid' in statement.subject && statement.subject.kid === pins.kid, `it is not about ${pins.kid}`);
  if (pins.publicSha256 !== undefined) hold('public_sha256' in statement.subject && statement.subject.public_sha256 === pins.publicSha256, 'it is about another public key');
  if (pins.classes !== undefined) hold(pins.classes.includes(statement.class), `its class is ${statement.class}`);
  if (pins.notBefore !== undefined) hold(Date.parse(statement.made_at) >= Date.parse(pins.notBefore), `it was made at ${statement.made_at}`);
  return { ok: problems.length === 0, problems, statement, ...(quoted && { tpm: { pcrDigest: quoted.pcrDigest, clockMs: quoted.clockMs, resetCount: quoted.resetCount, restartCount: quoted.restartCount, firmware: quoted.firmware } }) };
}

function problemsOfObjects(device: TpmState | TokenState): readonly string[] {
  if (device.kind !== 'pkcs11') return [];
  const objects = Object.entries(device.objects);
  if (objects.length === 0) return ['the token names no object that holds the key'];
  return objects.flatMap(([label, attributes]) => Object.entries(STAYING).flatMap(([name, wanted]) => (attributes[name] === wanted ? [] : [`the object "${label}" is not ${wanted ? '' : 'un'}${name}`])));
}

function isSigned(key: string, kind: keyof typeof SPKI, message: Buffer, signature: Buffer): boolean {
  const [name, text = ''] = key.split(':');
  const bytes = readBase64(text);
  if (name !== kind || bytes?.length !== (kind === 'p256' ? P256_POINT_BYTES : ED25519_BYTES)) return false;
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI[kind], bytes]), format: 'der', type: 'spki' });
    return verifySignature(kind === 'p256' ? 'sha256' : null, message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    return false;
  }
}

interface Quoted {
  readonly extraData: Buffer;
  readonly pcrs: readonly number[];
  readonly pcrDigest: string;
  readonly clockMs: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
  readonly firmware: string;
}

/** `TPMS_ATTEST` of a quote over one bank (TPM 2.0 Part 2 §10.12.12); undefined when it is anything else. */
function quoteIn(bytes: Buffer | undefined): Quoted | undefined {
  try {
    if (bytes === undefined || bytes.readUInt32BE(0) !== TPM_GENERATED || bytes.readUInt16BE(4) !== ATTEST_QUOTE) return undefined;
    const extraAt = 8 + bytes.readUInt16BE(6);
    const extraData = bytes.subarray(extraAt + 2, extraAt + 2 + bytes.readUInt16BE(extraAt));
    const clockAt = extraAt + 2 + extraData.length;
    const selectAt = clockAt + 17 + 8;
    const bitBytes = bytes.readUInt8(selectAt + 6);
    if (bytes.readUInt32BE(selectAt) !== 1 || bytes.readUInt16BE(selectAt + 4) !== SHA256) return undefined;
    const bits = bytes.subarray(selectAt + 7, selectAt + 7 + bitBytes);
    const digestAt = selectAt + 7 + bitBytes;
    const digest = bytes.subarray(digestAt + 2, digestAt + 2 + bytes.readUInt16BE(digestAt));
    if (digestAt + 2 + digest.length !== bytes.length) return undefined;
    return {
      extraData, pcrDigest: digest.toString('hex'),
      pcrs: Array.from({ length: 8 * bits.length }, (_, i) => i).filter((i) => ((bits[i >> 3] ?? 0) & (1 << (i & 7))) !== 0),
      clockMs: bytes.readBigUInt64BE(clockAt), resetCount: bytes.readUInt32BE(clockAt + 8), restartCount: bytes.readUInt32BE(clockAt + 12),
      firmware: bytes.toString('hex', clockAt + 17, clockAt + 25),
    };
  } catch {
    return undefined;
  }
}

function sameNumbers(one: readonly number[], other: readonly number[]): boolean {
  return String(one) === String(other.toSorted((first, second) => first - second));
}

function parse(bytes: Uint8Array) {
  try {
    const { v, key, statement_b64: statementText, proof, ...more } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Readonly<Record<string, unknown>>;
    const { quoted_b64: quotedText, signature_b64: signatureText } = proof as Readonly<Record<string, unknown>>;
    if (v !== 1 || typeof key !== 'string' || typeof statementText !== 'string' || typeof signatureText !== 'string' || Object.keys(more).length > 0) return undefined;
    const [statementBytes, signature, quoted] = [readBase64(statementText), readBase64(signatureText), typeof quotedText === 'string' ? readBase64(quotedText) : undefined];
    if (statementBytes === undefined || signature === undefined) return undefined;
    const statement = JSON.parse(statementBytes.toString('utf8')) as EvidenceStatement;
    return isStatement(statement) ? { key, statementBytes, statement, proof: { signature, quoted } } : undefined;
  } catch {
    return undefined;
  }
}

function isStatement({ v, class: name, subject, nonce_b64: nonce, origin, made_at: madeAt, device }: EvidenceStatement): boolean {
  const isSubject = 'kid' in subject ? typeof subject.kid === 'string' && typeof subject.public_sha256 === 'string' : Array.isArray(subject.log_keys);
  const isDevice = device.kind === 'tpm' ? Array.isArray(device.pcrs) : device.kind === 'pkcs11' && typeof device.objects === 'object' && typeof device.token === 'object';
  return v === 1 && isSubject && isDevice && [name, nonce, origin, madeAt].every((text) => typeof text === 'string') && !Number.isNaN(Date.parse(madeAt));
}
