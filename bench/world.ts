import type { ServiceUnderTest } from './service-under-test.ts';
import type { IncomingMessage } from 'node:http';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { PURPOSE, TENANT } from './service-under-test.ts';

/** What rows prepare their requests with: calls that must succeed, and requests as bytes for the generator. */
export interface World {
  /** The answer's body, or it throws with what the service said. */
  call(method: Method, path: string, body?: object): Promise<any>;
  /** A new key's kid, with its version. */
  key(alg: string): Promise<string>;
  /** The same key for every row that asks. */
  sharedKey(alg: string): Promise<string>;
  request(method: Method, path: string, body?: object): string;
}

type Method = 'GET' | 'POST';

const DIGEST_BYTES = 32;
const BASE_PATH = '/v1/kms';

/** Of the usual tenant, or another one. */
export function createWorld({ host, port, ca, tokenFor }: ServiceUnderTest, tenant = TENANT): World {
  const token = tokenFor(tenant);
  const shared = new Map<string, Promise<string>>();
  const world: World = {
    async call(method, path, body) {
      const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
      const { status, text } = await send({ host, port, ca, method, path: BASE_PATH + path, headers, body: body && JSON.stringify(body) });
      if (status < 200 || status > 299) throw new Error(`${method} ${path} was answered ${status}: ${text}`);
      return JSON.parse(text);
    },
    async key(alg) {
      const { kid, current_version: version } = await world.call('POST', '/keys', { tenant, purpose: PURPOSE, alg });
      return kid.includes('#') ? kid : `${kid}#v${version}`;
    },
    sharedKey(alg) {
      const made = shared.get(alg) ?? world.key(alg);
      shared.set(alg, made);
      return made;
    },
    request: (method, path, body) => requestBytes({ method, path: BASE_PATH + path, host, port, token, body }),
  };
  return world;
}

interface RequestParts {
  readonly method: Method;
  readonly path: string;
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly body: object | undefined;
}

/** A whole request, base64 so that it can be sent to another process. */
interface Sent {
  readonly host: string;
  readonly port: number;
  readonly ca: string | undefined;
  readonly method: Method;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

async function send({ ca, body, ...options }: Sent): Promise<{ readonly status: number; readonly text: string }> {
  const request = ca === undefined ? httpRequest(options) : httpsRequest({ ...options, ca });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  return { status: response.statusCode ?? 0, text: Buffer.concat(await response.toArray() as Buffer[]).toString() };
}

export function requestBytes({ method, path, host, port, token, body }: RequestParts): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const head = [
    `${method} ${path} HTTP/1.1`, `Host: ${host}:${port}`, `Authorization: Bearer ${token}`,
    ...(body === undefined ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(text)}`]),
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${text}`).toString('base64');
}

/** `POST /sign`'s body; the echo is sent the same. */
export function signBody(kid: string): { readonly kid: string; readonly payload_b3: string } {
  return { kid, payload_b3: randomBytes(DIGEST_BYTES).toString('hex') };
}

/** The kid as four path segments, without its version. */
export function pathOf(kid: string): string {
  return kid.split('#')[0] ?? kid;
}

/** As many as `count`, made one after the other. */
export async function times<T>(count: number, make: () => Promise<T> | T): Promise<readonly T[]> {
  const made: T[] = [];
  while (made.length < count) made.push(await make());
  return made;
}

export function shuffled<T>(items: readonly T[]): readonly T[] {
  return items.map((item) => ({ item, at: Math.random() })).toSorted((a, b) => a.at - b.at).map(({ item }) => item);
}
