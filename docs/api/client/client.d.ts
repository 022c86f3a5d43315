import type { CallOptions, ClientOptions } from './transport.ts';
import type { AcceptClockAnswer, AuditKeys, BackupAnswer, BackupState, CreateBody, DestroyBody, Key, KeyList, ListQuery, LogKeysAnswer, LogKeysBody, OpIdBody, PatchBody, RecordList, RecordsQuery, RekeyAnswer, RekeyState, ReloadAnswer, RewrapAnswer, RewrapBody, RotateAnswer, SignAnswer, SignBatchAnswer, SignBatchBody, SignBody, Token, UnwrapAnswer, UnwrapBody, VerifyAnswer, VerifyBatchAnswer, VerifyBatchBody, VerifyBody, WrapAnswer, WrapBody } from './wire.ts';
/** What `listKeys` may ask for; `limit` as a number. */
export type ListOptions = Omit<ListQuery, 'limit'> & {
    limit?: number;
};
/** What `records` may ask for; `from` and `limit` as numbers. */
export type RecordsOptions = Omit<RecordsQuery, 'from' | 'limit'> & {
    from?: number;
    limit?: number;
};
export type AuditRecord = RecordList['records'][number];
export type KmsClient = ReturnType<typeof createClient>;
/** One method per call of the API, under its names; bodies and answers are those of the wire. */
export declare function createClient(options: ClientOptions): {
    createKey: (body: CreateBody, call?: CallOptions) => Promise<Key>;
    listKeys: (query?: ListOptions, call?: CallOptions) => Promise<KeyList>;
    /** Every key of all pages, from the query's cursor on. */
    allKeys(query?: ListOptions, call?: CallOptions): AsyncGenerator<Key, void, undefined>;
    getKey: (kid: string, call?: CallOptions) => Promise<Key>;
    patchKey: (kid: string, body: PatchBody, call?: CallOptions) => Promise<Key>;
    rotateKey: (kid: string, body?: OpIdBody, call?: CallOptions) => Promise<RotateAnswer>;
    disableKey: (kid: string, body?: OpIdBody, call?: CallOptions) => Promise<Key>;
    enableKey: (kid: string, body?: OpIdBody, call?: CallOptions) => Promise<Key>;
    destroyKey: (kid: string, body?: DestroyBody, call?: CallOptions) => Promise<Key>;
    restoreKey: (kid: string, body?: OpIdBody, call?: CallOptions) => Promise<Key>;
    sign: (body: SignBody, call?: CallOptions) => Promise<SignAnswer>;
    verify: (body: VerifyBody, call?: CallOptions) => Promise<VerifyAnswer>;
    signBatch: (body: SignBatchBody, call?: CallOptions) => Promise<SignBatchAnswer>;
    verifyBatch: (body: VerifyBatchBody, call?: CallOptions) => Promise<VerifyBatchAnswer>;
    wrap: (body: WrapBody, call?: CallOptions) => Promise<WrapAnswer>;
    unwrap: (body: UnwrapBody, call?: CallOptions) => Promise<UnwrapAnswer>;
    rewrap: (body: RewrapBody, call?: CallOptions) => Promise<RewrapAnswer>;
    /** The newest checkpoint of the log: a signed note. */
    checkpoint: (call?: CallOptions) => Promise<string>;
    /** What the service says its keys are: a verifier holds a log against keys that it got another way. */
    auditKeys: (call?: CallOptions) => Promise<AuditKeys>;
    /** The proof that the entry is in the log, for `checkReceipt`; waits for the checkpoint that covers it. */
    receipt: (index: number, call?: CallOptions) => Promise<string>;
    records: (query?: RecordsOptions, call?: CallOptions) => Promise<RecordList>;
    /** Every entry from the query's `from` on, up to where the log ends. */
    allRecords(query?: RecordsOptions, call?: CallOptions): AsyncGenerator<AuditRecord, void, undefined>;
    /** A hash tile or entry bundle, by its C2SP path: `tile/0/x001/067.p/12`, `tile/entries/000`. */
    tile: (path: string, call?: CallOptions) => Promise<Uint8Array>;
    rotateLogKeys: (body?: LogKeysBody, call?: CallOptions) => Promise<LogKeysAnswer>;
    /** A new root key; what lies under the old one moves while everything goes on. */
    rekey: (body?: OpIdBody, call?: CallOptions) => Promise<RekeyAnswer>;
    /** How far that is. */
    rekeyState: (call?: CallOptions) => Promise<RekeyState>;
    /** One file with all keys, in the directory of the service's settings; written while it goes on. */
    backup: (body?: OpIdBody, call?: CallOptions) => Promise<BackupAnswer>;
    /** How the newest one is. */
    backupState: (call?: CallOptions) => Promise<BackupState>;
    /** The settings of the service are taken anew; refused whole when one of them cannot be. */
    reload: (call?: CallOptions) => Promise<ReloadAnswer>;
    acceptClock: (body?: OpIdBody, call?: CallOptions) => Promise<AcceptClockAnswer>;
    readToken: (call?: CallOptions) => Promise<Token>;
    openapi: (call?: CallOptions) => Promise<Record<string, unknown>>;
};
