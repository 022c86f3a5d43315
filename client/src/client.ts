import type { CallOptions, ClientOptions } from './transport.ts';
import type {
  CreateBody, DestroyBody, Key, KeyList, ListQuery, OpIdBody, PatchBody, RewrapAnswer, RewrapBody, RotateAnswer, SignAnswer, SignBatchAnswer,
  SignBatchBody, SignBody, Token, UnwrapAnswer, UnwrapBody, VerifyAnswer, VerifyBatchAnswer, VerifyBatchBody, VerifyBody, WrapAnswer, WrapBody,
} from './wire.ts';
import { createTransport } from './transport.ts';

/** What `listKeys` may ask for; `limit` as a number. */
export type ListOptions = Omit<ListQuery, 'limit'> & { limit?: number };

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

  const listKeys = (query: ListOptions = {}, call?: CallOptions) => read<KeyList>(`/keys${queryText(query)}`, call);

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

/** Encoded by hand: URLSearchParams writes a space as `+`, which is a plus to the service. */
function queryText(query: ListOptions): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
}
