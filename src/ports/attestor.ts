import type { EvidenceStatement } from '../../client/src/log/evidence.ts';

/** A key on a device that says where others are held: its public part as it is pinned, and what the device needs to find it. */
export interface AttestationKey {
  /** `p256:<base64>` or `ed25519:<base64>`. */
  readonly key: string;
  readonly held: Readonly<Record<string, unknown>>;
}

/** What a device says to a statement, base64. */
interface EvidenceProof {
  readonly quoted_b64?: string;
  readonly signature_b64: string;
}

/** A device that can tell. Throws with the reason when it cannot be reached, or does not hold what it is asked about. */
export interface Attestor {
  readonly backend: 'tpm' | 'pkcs11';
  /** Under this name, which is used once. */
  makeKey(name: string): Promise<AttestationKey>;
  /** For good, where the device keeps it; one that is gone is no error. */
  dropKey?(key: AttestationKey): Promise<void>;
  /** What it says of itself, and of what it holds of this version; of its own keys when left out. */
  describe(version?: { readonly kid: string; readonly attestationClass: string }): Promise<EvidenceStatement['device']>;
  /** Over `message`, which no other use of the key can make it sign. */
  prove(key: AttestationKey, message: Buffer): Promise<EvidenceProof>;
}

/** Ed25519 keys of a log that a device holds. */
export interface LogKeyHolder {
  /** Its public key, and how it is found again; `shown` is what people are told of the device. */
  make(name: string): Promise<{ readonly publicBytes: Buffer; readonly held: HeldElsewhere }>;
  sign(held: HeldElsewhere, message: Buffer): Promise<Buffer>;
  /** For good; one that is gone is no error. */
  destroy(held: HeldElsewhere): Promise<void>;
}

export interface HeldElsewhere {
  readonly label: string;
  readonly shown: Readonly<Record<string, string>>;
}

/** What a log's keys need of a device. */
export interface LogDevice {
  readonly attestor: Attestor;
  readonly logKeys?: LogKeyHolder;
}

export interface LogDevices {
  /** New keys are attested by it, and made on it where it holds them. */
  readonly device?: LogDevice | undefined;
  /** It was `device` once: keys that it holds sign until their overlap ends. */
  readonly former?: LogDevice | undefined;
}
