/** Generated from src/http/schemas.ts by `npm run generate -w client`. Do not edit: a test holds it against the schemas. */
export interface AcceptClockAnswer {
    audit: {
        index: number;
        op_id: string;
    };
}
/** the entry; its RFC 8785 form is what the log has hashed */
export interface AuditEntry {
    v: number;
    salt: string;
    boot_id: string;
    op_id: string;
    corr_id: string;
    op: string;
    /** tenant or purpose */
    tenant?: string;
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid?: string;
    alg?: string;
    /** tenant or purpose */
    purpose?: string;
    /** BLAKE3, 64 lower-case hex digits */
    input_hash: string;
    /** RFC 3339, UTC, milliseconds */
    ts: string;
    mono_ns: string;
    key_seq?: number;
    result: string;
    reason?: string;
    actor: {
        client_id?: string;
        root_key_id?: string;
        token_id?: string;
        via: string;
        peer?: string;
    };
    policy?: {
        mode: 'or' | 'pq_only' | 'and';
        decision_id?: string;
    };
    attestation?: {
        class: string;
        evidence_sha256: string;
    };
    generation?: number;
    [k: string]: unknown;
}
export interface AuditKeys {
    origin: string;
    keys: {
        /** C2SP signed-note verifier key */
        vkey: string;
        alg: 'ed25519' | 'ml-dsa-44';
        from_index: number;
        until_index?: number;
        /** the last signed note of the keys before and these */
        transition_checkpoint?: string;
        held_by?: {
            [k: string]: string;
        };
        attestation?: {
            class: string;
            /** the attestation key of that time, as ron-kms attest verify takes it */
            key: string;
            /** evidence about the log keys that came together */
            evidence_b64: string;
        };
    }[];
}
export interface BackupAnswer {
    /** of the newest one since the service started */
    state: 'none' | 'running' | 'done' | 'failed';
    /** why it failed */
    why?: string;
    /** its name, in backup.dir */
    file?: string;
    bytes?: number;
    sha256?: string;
    /** of the key store, as it stands in the backup */
    generation?: number;
    /** key versions */
    records?: number;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface BackupState {
    /** of the newest one since the service started */
    state: 'none' | 'running' | 'done' | 'failed';
    /** why it failed */
    why?: string;
    /** its name, in backup.dir */
    file?: string;
    bytes?: number;
    sha256?: string;
    /** of the key store, as it stands in the backup */
    generation?: number;
    /** key versions */
    records?: number;
}
export interface CreateBody {
    /** tenant or purpose */
    tenant: string;
    /** tenant or purpose */
    purpose: string;
    alg?: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    parameter_set?: string;
    input?: 'b3' | 'raw';
    labels?: {
        [k: string]: string;
    };
    /** 24h, 7d */
    rotate_after?: string;
    /** up to 4 KiB, sent to policy, never given back */
    policy_hints?: {
        [k: string]: unknown;
    };
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
}
export interface DestroyBody {
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
    /** 24h, 7d */
    after?: string;
}
export interface EmptyBody {
}
export interface ErrorAnswer {
    error: ErrorItem;
}
export interface ErrorItem {
    code: 'BadRequest' | 'Unsupported' | 'UnwrapFailed' | 'NoCapability' | 'PolicyDenied' | 'PqPolicy' | 'AttestationMissing' | 'ExportForbidden' | 'NotFound' | 'Timeout' | 'Conflict' | 'NonceReuse' | 'KeyState' | 'TooLarge' | 'Backpressure' | 'QuotaExceeded' | 'Internal' | 'StoreUnavailable' | 'AuditUnavailable' | 'PolicyUnavailable' | 'AuthUnavailable' | 'ClockSkew';
    message: string;
    retryable: boolean;
    hint?: string;
    /** RFC 3339, UTC, milliseconds */
    ts: string;
    request_id: string;
}
export interface Key {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    /** tenant or purpose */
    tenant: string;
    /** tenant or purpose */
    purpose: string;
    alg: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    parameter_set?: string;
    input: 'b3' | 'raw';
    state: 'enabled' | 'disabled' | 'scheduled' | 'destroyed';
    labels: {
        [k: string]: string;
    };
    /** 24h, 7d */
    rotate_after?: string;
    /** RFC 3339, UTC, milliseconds */
    created_at: string;
    current_version: number;
    versions: Version[];
}
export interface Version {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    version: number;
    state: 'enabled' | 'disabled' | 'scheduled' | 'destroyed';
    /** RFC 3339, UTC, milliseconds */
    created_at: string;
    /** RFC 3339, UTC, milliseconds */
    destroy_at?: string;
    attestation_class: string;
    public: PublicPart[];
}
export interface PublicPart {
    alg: string;
    /** standard base64 with padding */
    pubkey_b64: string;
    spki_pem?: string;
    jwk?: {
        [k: string]: string;
    };
}
export interface KeyList {
    keys: Key[];
    next_cursor?: string;
}
export interface ListQuery {
    /** tenant or purpose */
    tenant?: string;
    /** tenant or purpose */
    purpose?: string;
    alg?: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    state?: 'enabled' | 'disabled' | 'scheduled' | 'destroyed';
    /** key:value */
    label?: string;
    /** 1 to 1000, 100 when left out */
    limit?: string;
    cursor?: string;
}
export interface LogKeysAnswer {
    keys: string[];
    /** RFC 3339, UTC, milliseconds */
    until?: string;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface LogKeysBody {
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
    /** the keys before are not to be trusted any more: they stop to sign at once */
    compromised?: boolean;
}
export interface NoQuery {
}
export interface OpIdBody {
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
}
export interface PatchBody {
    labels?: {
        [k: string]: string;
    };
    rotate_after?: string | null;
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
}
export interface ReceiptPath {
    /** a place in the log, from 0 */
    index: string;
}
export interface RecordList {
    records: {
        index: number;
        entry: AuditEntry;
    }[];
    /** where to go on; left out at the end of the log */
    next?: number;
    /** entries in the log when it was read */
    tree_size: number;
}
export interface RecordsQuery {
    /** a place in the log, from 0 */
    from?: string;
    /** 1 to 1000, 100 when left out */
    limit?: string;
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid?: string;
    /** tenant or purpose */
    tenant?: string;
    op?: string;
    /** ok, invalid, intent, or an error code */
    result?: string;
}
export interface RekeyAnswer {
    state: 'moving' | 'done';
    /** rows under the root key before, as of the last step */
    left: number;
    total: number;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface RekeyState {
    state: 'moving' | 'done';
    /** rows under the root key before, as of the last step */
    left: number;
    total: number;
}
export interface ReloadAnswer {
    /** names the settings in force */
    config_version: string;
}
export interface RewrapAnswer {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    alg: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    /** standard base64 with padding */
    wrapped_b64: string;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface RewrapBody {
    /** standard base64 with padding */
    wrapped_b64: string;
    /** standard base64 with padding */
    aad_b64?: string;
}
export interface RotateAnswer {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    previous: string;
}
export interface SignAnswer {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    /** BLAKE3, 64 lower-case hex digits */
    payload_b3: string;
    sigs: SignatureItem[];
    attestation?: {
        class: string;
        evidence: string;
    };
    audit: {
        index: number;
        op_id: string;
    };
}
export interface SignatureItem {
    alg: string;
    parameter_set?: string;
    /** standard base64 with padding */
    signature_b64: string;
}
export interface SignBatchAnswer {
    items: (SignAnswer | ErrorAnswer)[];
}
export interface SignBatchBody {
    items: SignBody[];
}
export interface SignBody {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    /** BLAKE3, 64 lower-case hex digits */
    payload_b3?: string;
    /** standard base64 with padding */
    payload_b64?: string;
    /** standard base64 with padding */
    context_b64?: string;
    policy?: {
        produce_hybrid?: boolean;
    };
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
    /** evidence of key residency, where custody gives any */
    attest?: boolean;
}
export interface Token {
    client_id: string;
    scopes: string[];
    caveats: string[];
    /** RFC 3339, UTC, milliseconds */
    expires: string;
}
export interface UnwrapAnswer {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    alg: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    /** standard base64 with padding */
    plaintext_key_b64: string;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface UnwrapBody {
    /** standard base64 with padding */
    wrapped_b64: string;
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid?: string;
    /** standard base64 with padding */
    aad_b64?: string;
}
export interface VerifyAnswer {
    ok: boolean;
    details: {
        mode: 'or' | 'pq_only' | 'and';
        checked: {
            alg: string;
            /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
            kid: string;
            ok: boolean;
        }[];
        /** true while log, anchor or key store are at odds: the answer is only as good as the records */
        degraded?: boolean;
    };
    /** there while the backend that holds the keys is out: how old what is known of them is */
    cache_age_ms?: number;
}
export interface VerifyBatchAnswer {
    items: (VerifyAnswer | ErrorAnswer)[];
}
export interface VerifyBatchBody {
    items: VerifyBody[];
}
export interface VerifyBody {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid?: string;
    kid_set?: string[];
    /** BLAKE3, 64 lower-case hex digits */
    payload_b3?: string;
    /** standard base64 with padding */
    payload_b64?: string;
    sigs: SignatureItem[];
    /** standard base64 with padding */
    context_b64?: string;
    policy?: {
        mode?: 'or' | 'pq_only' | 'and';
    };
}
export interface WrapAnswer {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    alg: 'ed25519' | 'ml-dsa' | 'ed25519+ml-dsa' | 'mldsa65-ed25519-sha512' | 'x25519' | 'ml-kem' | 'x25519+ml-kem' | 'aes-256-gcm' | 'chacha20-poly1305';
    /** standard base64 with padding */
    wrapped_b64: string;
    /** standard base64 with padding */
    plaintext_key_b64?: string;
    audit: {
        index: number;
        op_id: string;
    };
}
export interface WrapBody {
    /** <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N> */
    kid: string;
    /** standard base64 with padding */
    plaintext_key_b64?: string;
    /** bytes of a generated key */
    size?: number;
    return_plaintext?: boolean;
    /** standard base64 with padding */
    aad_b64?: string;
    kem_mode?: 'hybrid' | 'classical' | 'pq';
    /** standard base64 with padding */
    nonce_b64?: string;
    /** makes a mutation idempotent for 24 h; elsewhere a name in the log */
    op_id?: string;
}
