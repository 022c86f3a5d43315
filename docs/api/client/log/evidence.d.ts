/** What the service states; the device's key is over it, byte by byte. */
export interface EvidenceStatement {
    readonly v: 1;
    /** Of the version: `pkcs11`, `pkcs11-wrapped`, `tpm-sealed`; of log keys the backend. */
    readonly class: string;
    /** A version of a key, with the SHA-256 of its public parts one after the other; or the keys of a log. */
    readonly subject: {
        readonly kid: string;
        readonly public_sha256: string;
    } | {
        readonly log_keys: readonly string[];
    };
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
    readonly tpm?: {
        readonly pcrDigest: string;
        readonly clockMs: bigint;
        readonly resetCount: number;
        readonly restartCount: number;
        readonly firmware: string;
    };
}
export declare const EVIDENCE_CONTEXT = "ron-kms/evidence/v1\n";
/** Checks evidence with nothing but it and what is pinned. Never throws on what came from outside. */
export declare function checkEvidence(bytes: Uint8Array, pins: EvidencePins): CheckedEvidence;
