import { connect } from 'node:net';

/** One answer as it stood on the wire. */
export interface RawAnswer {
  /** 0 when the connection ended without an answer. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

export interface RawOptions {
  /** Ends our side of the connection once everything is sent. */
  readonly halfClose?: boolean;
  readonly withinMs?: number;
}

const NO_ANSWER: RawAnswer = { status: 0, headers: new Map(), text: '' };

/** Sends exactly these bytes over a connection of its own and reads the first final answer. */
export function sendRaw(apiUrl: string, bytes: string | Buffer, { halfClose = false, withinMs = 10_000 }: RawOptions = {}): Promise<RawAnswer> {
  const { hostname, port } = new URL(apiUrl);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let seen = Buffer.alloc(0);
    const settle = (answer: RawAnswer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no whole answer within ${withinMs} ms: ${seen.toString('latin1').slice(0, 200)}`));
    }, withinMs);
    socket.on('connect', () => {
      socket.write(bytes);
      if (halfClose) socket.end();
    });
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const answer = parseAnswer(seen, false);
      if (answer !== undefined) settle(answer);
    });
    socket.on('end', () => settle(parseAnswer(seen, true) ?? NO_ANSWER));
    // The service may close while we still write: what it said before counts.
    socket.on('error', () => settle(parseAnswer(seen, true) ?? NO_ANSWER));
  });
}

export interface RequestParts {
  readonly method?: string;
  readonly path: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** What Content-Length says, when it is not the length of the body. */
  readonly contentLength?: number | undefined;
}

/** The bytes of a plain request below the base path, with the usual headers unless others are given. */
export function rawRequest({ method = 'POST', path, token, headers = {}, body = '', contentLength }: RequestParts): Buffer {
  const bytes = Buffer.from(body);
  const all: Record<string, string> = {
    host: '127.0.0.1', connection: 'close',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(bytes.length > 0 && { 'content-type': 'application/json' }),
    'content-length': String(contentLength ?? bytes.length),
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${method} /v1/kms${path} HTTP/1.1\r\n${head}\r\n`, 'latin1'), bytes]);
}

/** Undefined while the answer is not whole; an interim 100 is skipped. */
function parseAnswer(bytes: Buffer, isAll: boolean): RawAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(first.split(' ')[1]);
  const rest = bytes.subarray(headEnd + 4);
  if (status === 100) return parseAnswer(rest, isAll);
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const length = Number(headers.get('content-length'));
  if (!isAll && !(rest.length >= length)) return undefined;
  return { status, headers, text: rest.toString('utf8') };
}
