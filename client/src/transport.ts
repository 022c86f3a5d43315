import type { ErrorItem } from './wire.ts';
import { KmsClientError } from './errors.ts';
import { parseRetryAfter, retryWaitMs } from './retry.ts';

export interface ClientOptions {
  /** Where the service listens: `https://kms.mesh:9446`. */
  readonly url: string;
  /** The capability token; or what gives the one to use now, asked before each attempt. */
  readonly token: string | (() => string | Promise<string>);
  /** Instead of the global one: for a connection pool or TLS of your own. */
  readonly fetch?: typeof globalThis.fetch;
  /** For a whole call with all of its attempts and waits; 10 s when left out. */
  readonly timeoutMs?: number;
}

export interface CallOptions {
  /** Instead of the client's own. */
  readonly timeoutMs?: number;
  /** Gives the call up: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A UUID that stands in the logs of the service, to follow a request over several. */
  readonly corrId?: string;
}

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Below the base path, encoded. */
  readonly path: string;
  readonly body?: object;
  /** May be sent twice without being done twice. */
  readonly isSafe: boolean;
  /** What the answer is; JSON when left out. */
  readonly answers?: keyof typeof media;
}

/** What an answer can be, by the content type that says so. */
const media = { json: 'application/json', text: 'text/plain', bytes: 'application/octet-stream' } as const;

export type Transport = (call: Call, options?: CallOptions) => Promise<unknown>;

const BASE_PATH = '/v1/kms';
const TIMEOUT_MS = 10_000;
const TOKEN = /^[A-Za-z0-9_-]+$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Sends calls: one deadline over all attempts, retries where they are safe, every refusal a `KmsClientError`. */
export function createTransport({ url, token, fetch: send = globalThis.fetch, timeoutMs: usualTimeoutMs = TIMEOUT_MS }: ClientOptions): Transport {
  const base = baseOf(url);

  const attempt = async ({ path, answers = 'json' }: Call, request: RequestInit): Promise<unknown> => {
    const response = await send(`${base}${BASE_PATH}${path}`, request).catch((fault: unknown) => { throw unreachable(base, fault); });
    const bytes = await response.arrayBuffer().catch((fault: unknown) => { throw unreachable(base, fault); });
    return readAnswer(response, new Uint8Array(bytes), answers, base);
  };

  return async (call, { timeoutMs = usualTimeoutMs, signal: given, corrId } = {}) => {
    given?.throwIfAborted();
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const deadline = new AbortController();
    const giveUp = (): void => deadline.abort();
    given?.addEventListener('abort', giveUp, { once: true });
    const endMs = performance.now() + timeoutMs;
    const timer = setTimeout(giveUp, timeoutMs);
    let refusal: unknown;
    try {
      for (let tries = 0; ; tries++) {
        const headers = headersOf(typeof token === 'string' ? token : await token(), corrId, call);
        try {
          // A redirect would carry the token to somebody else.
          return await attempt(call, { method: call.method, headers, redirect: 'manual', signal: deadline.signal, ...(body !== undefined && { body }) });
        } catch (fault) {
          given?.throwIfAborted();
          if (deadline.signal.aborted) throw new KmsClientError('DeadlineExceeded', `no answer from ${base} within ${timeoutMs} ms`, { status: 0, cause: refusal ?? fault });
          const waitMs = call.isSafe && fault instanceof KmsClientError ? retryWaitMs(fault, tries) : undefined;
          // Waiting past the deadline would only hide why it was refused.
          if (waitMs === undefined || performance.now() + waitMs >= endMs) throw fault;
          refusal = fault;
          await pause(waitMs, deadline.signal);
          given?.throwIfAborted();
        }
      }
    } finally {
      clearTimeout(timer);
      given?.removeEventListener('abort', giveUp);
    }
  };
}

/** What `fetch` says of a header it does not take repeats the header: neither token nor id gets that far. */
function headersOf(token: string, corrId: string | undefined, { body, answers = 'json' }: Call): Record<string, string> {
  if (!TOKEN.test(token)) throw new TypeError('the token is not base64url without padding');
  if (corrId !== undefined && !UUID.test(corrId)) throw new TypeError('corrId is a UUID');
  return {
    authorization: `Bearer ${token}`,
    accept: answers === 'json' ? media.json : `${media[answers]}, ${media.json}`,
    ...(body !== undefined && { 'content-type': 'application/json' }),
    ...(corrId !== undefined && { 'x-corr-id': corrId }),
  };
}

function baseOf(url: string): string {
  const parsed = new URL(url);
  // Every error message shows the base: it holds nothing that is secret.
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') throw new TypeError('the url of a ron-kms is http or https');
  if (parsed.username !== '' || parsed.password !== '' || parsed.search !== '' || parsed.hash !== '') throw new TypeError('the url of a ron-kms has no user, query or fragment');
  return `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`;
}

function readAnswer(response: Response, bytes: Uint8Array, answers: NonNullable<Call['answers']>, base: string): unknown {
  const { status } = response;
  const isMeant = response.ok && (answers === 'json' || response.headers.get('content-type')?.split(';')[0] === media[answers]);
  if (isMeant && answers === 'bytes') return bytes;
  const text = new TextDecoder().decode(bytes);
  if (isMeant && answers === 'text') return text;
  const body = parseJson(text);
  if (isMeant && body !== undefined) return body;
  const error = response.ok ? undefined : errorItemOf(body);
  if (error === undefined) throw new KmsClientError('BadAnswer', `${base} answered ${status}, and not as a ron-kms does`, { status });
  const { code, message, retryable, hint, request_id: requestId } = error;
  throw new KmsClientError(code, message, { status, retryable, hint, requestId, retryAfterMs: parseRetryAfter(response.headers.get('retry-after')), cause: error });
}

function errorItemOf(body: unknown): ErrorItem | undefined {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  const isItem = typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    && 'message' in error && typeof error.message === 'string' && 'retryable' in error && typeof error.retryable === 'boolean';
  return isItem ? (error as ErrorItem) : undefined;
}

/** Undefined when it is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function unreachable(base: string, fault: unknown): KmsClientError {
  const cause = fault instanceof Error ? fault.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return new KmsClientError('Unreachable', `${base} cannot be reached${code}`, { status: 0, cause: fault });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
