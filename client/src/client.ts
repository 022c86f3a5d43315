import type { CallOptions, ClientOptions } from './transport.ts';
import type {
  AcceptClockAnswer, AuditKeys, BackupAnswer, BackupState, CreateBody, DestroyBody, Key, KeyList, ListQuery, LogKeysAnswer, LogKeysBody, OpIdBody, PatchBody, RecordList, RecordsQuery, RekeyAnswer, RekeyState, ReloadAnswer, RewrapAnswer, RewrapBody, RotateAnswer, SignAnswer, SignBatchAnswer,
  SignBatchBody, SignBody, Token, UnwrapAnswer, UnwrapBody, VerifyAnswer, VerifyBatchAnswer, VerifyBatchBody, VerifyBody, WrapAnswer, WrapBody,
} from './wire.ts';
import { createTransport } from './transport.ts';

/** What `listKeys` may ask for; `limit` as a number. */
export type ListOptions = Omit<ListQuery, 'limit'> & { limit?: number };

/** What `records` may ask for; `from` and `limit` as numbers. */
export type RecordsOptions = Omit<RecordsQuery, 'from' | 'limit'> & { from?: number; limit?: number };

export type AuditRecord = RecordList['records'][number];

export type KmsClient = ReturnType<typeof createClient>;

/** One method per call of the API, under its names; bodies and answers are those of the wire. */
export function createClient(options: ClientOptions) {
  const send = createTransport(options);

  /** The answer is as the service's own schemas say: the types are made from them. */
  const read = <A>(path: string, call?: CallOptions) => send({ method: 'GET', path, isSafe: true }, call) as Promise<A>;
  /** Makes or opens something each time it is sent: never repeated. */
  const once = <A>(path: string, body: object, call?: CallOptions) => send({ method: 'POST', path, body, isSafe: false }, call) as Promise<A>;
  /** Changes nothing when it is sent twice. */
  const repeatable = <A>(path: string, body: object, call?: CallOptions) => send({ method: 'POST', path, body, isSafe: true }, call) as Promise<A>;
  /** The service does one `op_id` once. */
  const mutate = <A>(method: 'POST' | 'PATCH', path: string, body: { op_id?: string }, call?: CallOptions) =>
    send({ method, path, body, isSafe: body.op_id !== undefined }, call) as Promise<A>;

  const readText = (path: string, call?: CallOptions) => send({ method: 'GET', path, isSafe: true, answers: 'text' }, call) as Promise<string>;
  const listKeys = (query: ListOptions = {}, call?: CallOptions) => read<KeyList>(`/keys${queryText(query)}`, call);
  const records = (query: RecordsOptions = {}, call?: CallOptions) => read<RecordList>(`/audit/records${queryText(query)}`, call);

  return {
    createKey: (body: CreateBody, call?: CallOptions) => mutate<Key>('POST', '/keys', body, call),
    listKeys,
    /** Every key of all pages, from the query's cursor on. */
    async *allKeys(query: ListOptions = {}, call?: CallOptions): AsyncGenerator<Key, void, undefined> {
      let { cursor } = query;
      do {
        const page = await listKeys({ ...query, ...(cursor !== undefined && { cursor }) }, call);
        yield* page.keys;
        cursor = page.next_cursor;
      } while (cursor !== undefined);
    },
    getKey: (kid: string, call?: CallOptions) => read<Key>(keyPath(kid), call),
    patchKey: (kid: string, body: PatchBody, call?: CallOptions) => mutate<Key>('PATCH', keyPath(kid), body, call),
    rotateKey: (kid: string, body: OpIdBody = {}, call?: CallOptions) => mutate<RotateAnswer>('POST', `${keyPath(kid)}/rotate`, body, call),
    disableKey: (kid: string, body: OpIdBody = {}, call?: CallOptions) => mutate<Key>('POST', `${keyPath(kid)}/disable`, body, call),
    enableKey: (kid: string, body: OpIdBody = {}, call?: CallOptions) => mutate<Key>('POST', `${keyPath(kid)}/enable`, body, call),
    destroyKey: (kid: string, body: DestroyBody = {}, call?: CallOptions) => mutate<Key>('POST', `${keyPath(kid)}/destroy`, body, call),
    restoreKey: (kid: string, body: OpIdBody = {}, call?: CallOptions) => mutate<Key>('POST', `${keyPath(kid)}/restore`, body, call),

    sign: (body: SignBody, call?: CallOptions) => repeatable<SignAnswer>('/sign', body, call),
    verify: (body: VerifyBody, call?: CallOptions) => repeatable<VerifyAnswer>('/verify', body, call),
    signBatch: (body: SignBatchBody, call?: CallOptions) => repeatable<SignBatchAnswer>('/sign/batch', body, call),
    verifyBatch: (body: VerifyBatchBody, call?: CallOptions) => repeatable<VerifyBatchAnswer>('/verify/batch', body, call),

    wrap: (body: WrapBody, call?: CallOptions) => once<WrapAnswer>('/wrap', body, call),
    unwrap: (body: UnwrapBody, call?: CallOptions) => once<UnwrapAnswer>('/unwrap', body, call),
    rewrap: (body: RewrapBody, call?: CallOptions) => once<RewrapAnswer>('/rewrap', body, call),

    /** The newest checkpoint of the log: a signed note. */
    checkpoint: (call?: CallOptions) => readText('/audit/checkpoint', call),
    /** What the service says its keys are: a verifier holds a log against keys that it got another way. */
    auditKeys: (call?: CallOptions) => read<AuditKeys>('/audit/keys', call),
    /** The proof that the entry is in the log, for `checkReceipt`; waits for the checkpoint that covers it. */
    receipt: (index: number, call?: CallOptions) => readText(`/audit/receipts/${indexText(index)}`, call),
    records,
    /** Every entry from the query's `from` on, up to where the log ends. */
    async *allRecords(query: RecordsOptions = {}, call?: CallOptions): AsyncGenerator<AuditRecord, void, undefined> {
      let { from } = query;
      do {
        const page = await records({ ...query, ...(from !== undefined && { from }) }, call);
        yield* page.records;
        from = page.next;
      } while (from !== undefined);
    },
    /** A hash tile or entry bundle, by its C2SP path: `tile/0/x001/067.p/12`, `tile/entries/000`. */
    tile: (path: string, call?: CallOptions) => send({ method: 'GET', path: tileCallPath(path), isSafe: true, answers: 'bytes' }, call) as Promise<Uint8Array>,
    rotateLogKeys: (body: LogKeysBody = {}, call?: CallOptions) => once<LogKeysAnswer>('/admin/log-keys', body, call),
    /** A new root key; what lies under the old one moves while everything goes on. */
    rekey: (body: OpIdBody = {}, call?: CallOptions) => once<RekeyAnswer>('/admin/rekey', body, call),
    /** How far that is. */
    rekeyState: (call?: CallOptions) => read<RekeyState>('/admin/rekey', call),
    /** One file with all keys, in the directory of the service's settings; written while it goes on. */
    backup: (body: OpIdBody = {}, call?: CallOptions) => once<BackupAnswer>('/admin/backup', body, call),
    /** How the newest one is. */
    backupState: (call?: CallOptions) => read<BackupState>('/admin/backup', call),
    /** The settings of the service are taken anew; refused whole when one of them cannot be. */
    reload: (call?: CallOptions) => repeatable<ReloadAnswer>('/admin/reload', {}, call),
    acceptClock: (body: OpIdBody = {}, call?: CallOptions) => repeatable<AcceptClockAnswer>('/admin/accept-clock', body, call),

    readToken: (call?: CallOptions) => read<Token>('/token', call),
    openapi: (call?: CallOptions) => read<Record<string, unknown>>('/openapi.json', call),
  };
}

/** The whole kid as one path segment. */
function keyPath(kid: string): string {
  // A URL drops `.` and `..` even when they are encoded, and another call would be reached.
  if (kid === '' || kid === '.' || kid === '..') throw new TypeError('a kid is <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N>');
  return `/keys/${encodeURIComponent(kid)}`;
}

function indexText(index: number): string {
  if (!Number.isSafeInteger(index) || index < 0) throw new TypeError('an index is a whole number from 0');
  return String(index);
}

function tileCallPath(path: string): string {
  if (!/^tile\/(entries|\d+)(\/x\d{3})*\/\d{3}(\.p\/\d+)?$/.test(path)) throw new TypeError('a tile is tile/<L>/<N>[.p/<W>], as C2SP tlog-tiles writes it');
  return `/audit/${path}`;
}

/** Encoded by hand: URLSearchParams writes a space as `+`, which is a plus to the service. */
function queryText(query: ListOptions | RecordsOptions): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
}
