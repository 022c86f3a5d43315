import type { Checkpoint } from '../../../client/src/log/checkpoint.ts';
import type { SignatureType, VerifierKey } from '../../../client/src/log/vkey.ts';
import type { SignatureSchemeName } from '../../core/algorithm/table.ts';
import type { LogKey } from '../../ports/audit-reader.ts';
import type { SignaturePrimitive, Signer } from '../crypto/signatures.ts';
import type { HeldElsewhere, LogKeyHolder } from '../../ports/attestor.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import sodium from 'sodium-native';
import { formatCheckpoint } from '../../../client/src/log/checkpoint.ts';
import { cosignedMessage, encodeTimestamped } from '../../../client/src/log/cosignature.ts';
import { formatSignature } from '../../../client/src/log/note.ts';
import { formatVkey, SIGNATURE_TYPE, vkeyOf } from '../../../client/src/log/vkey.ts';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';

export interface KeyPairDeps {
  readonly signatures: Readonly<Record<SignatureSchemeName, SignaturePrimitive>>;
  readonly memory: LockedMemory;
}

/** One private log key in use. */
export interface HeldKey {
  readonly kind: LogKeyKind;
  readonly vkey: VerifierKey;
  readonly signer: Signer;
  /** On a device, which may not answer. */
  readonly isElsewhere?: true;
}

interface LogKeyKind {
  readonly alg: LogKey['alg'];
  readonly scheme: SignatureSchemeName;
  readonly type: SignatureType;
  /** The signature of a note, as its line carries it. */
  readonly signNote: (key: HeldKey, checkpoint: Checkpoint, nowMs: number) => Promise<Buffer>;
}

const NO_CONTEXT = Buffer.alloc(0);

/** A log has a key of each kind, and its notes their lines in this order. */
export const logKeyKinds: readonly LogKeyKind[] = [
  {
    alg: 'ed25519', scheme: 'Ed25519', type: SIGNATURE_TYPE.ed25519,
    // C2SP signed-note: over the text.
    signNote: async ({ signer }, checkpoint) => signer.sign(Buffer.from(formatCheckpoint(checkpoint), 'utf8'), NO_CONTEXT),
  },
  {
    alg: 'ml-dsa-44', scheme: 'ML-DSA-44', type: SIGNATURE_TYPE.mlDsa44Cosignature,
    // C2SP tlog-cosignature: over a message of its own, the log being its own first cosigner.
    async signNote({ signer, vkey }, { origin, size, rootHash }, nowMs) {
      const timestampS = Math.floor(nowMs / 1000);
      const message = cosignedMessage({ cosignerName: vkey.name, timestampS, origin, start: 0, end: size, hash: rootHash });
      return encodeTimestamped({ timestampS, signature: await signer.sign(message, NO_CONTEXT) });
    },
  },
];

/** A new key of a kind. `keep` sees the seed once, to seal it; afterwards it is zeroed. */
export function makeKey<T>(kind: LogKeyKind, origin: string, keep: (seed: Secret, vkey: string) => T, { signatures, memory }: KeyPairDeps): { readonly key: HeldKey; readonly kept: T } {
  const slot = memory.take(signatures[kind.scheme].seedBytes);
  sodium.randombytes_buf(slot);
  const seed = new Secret(slot, memory.give);
  try {
    const key = keyFromSeed(kind, origin, seed, signatures);
    return { key, kept: keep(seed, formatVkey(key.vkey)) };
  } finally {
    seed.destroy();
  }
}

/** A key that a device has made, or has: it signs there. */
export function keyElsewhere(kind: LogKeyKind, origin: string, publicBytes: Buffer, held: HeldElsewhere, holder: LogKeyHolder | undefined): HeldKey {
  const sign = (message: Buffer): Promise<Buffer> => {
    if (holder === undefined) throw new Error('nothing is to be signed here');
    return holder.sign(held, message);
  };
  return { kind, vkey: vkeyOf(origin, kind.type, publicBytes), signer: { publicBytes, sign, destroy: () => undefined }, isElsewhere: true };
}

/** The key again from its seed, which is destroyed. */
export function openKey(kind: LogKeyKind, origin: string, seed: Secret, { signatures }: KeyPairDeps): HeldKey {
  try {
    return keyFromSeed(kind, origin, seed, signatures);
  } finally {
    seed.destroy();
  }
}

/** Signature lines over the checkpoint, all of one kind before those of the next; without those that may lack and whose key does not answer. */
export async function signatureLines(keys: readonly HeldKey[], checkpoint: Checkpoint, nowMs: number, mayLack: (key: HeldKey) => boolean = () => false): Promise<string> {
  const ordered = logKeyKinds.flatMap((kind) => keys.filter((key) => key.kind === kind));
  const lines = await Promise.all(ordered.map((key) => signatureLine(key, checkpoint, nowMs).catch((fault: unknown) => {
    if (mayLack(key)) return '';
    throw fault;
  })));
  return lines.join('');
}

async function signatureLine(key: HeldKey, checkpoint: Checkpoint, nowMs: number): Promise<string> {
  return formatSignature({ name: key.vkey.name, keyId: key.vkey.keyId, signature: await key.kind.signNote(key, checkpoint, nowMs) });
}

/** What keys say of those that come after them. No note and no cosigned message can begin like this: an origin ends in a UUID. */
export async function announcementSignatures(keys: readonly HeldKey[], origin: string, vkeys: readonly string[]): Promise<readonly { readonly key_id: string; readonly signature_b64: string }[]> {
  const message = Buffer.from(['ron-kms/log-keys/v1', origin, ...vkeys, ''].join('\n'), 'utf8');
  return Promise.all(keys.map(async ({ vkey, signer }) => ({
    key_id: vkey.keyId.toString('hex'),
    signature_b64: (await signer.sign(message, NO_CONTEXT)).toString('base64'),
  })));
}

function keyFromSeed(kind: LogKeyKind, origin: string, seed: Secret, signatures: KeyPairDeps['signatures']): HeldKey {
  const signer = signatures[kind.scheme].signerFromSeed(seed.read(REVEAL));
  return { kind, signer, vkey: vkeyOf(origin, kind.type, signer.publicBytes) };
}
