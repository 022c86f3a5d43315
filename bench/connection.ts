import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';

/** One keep-alive connection with one request in flight, as a caller that waits for its answers has it. */
export interface Connection {
  start(): void;
  /** Lets the request under way be answered, then closes. */
  stop(): Promise<void>;
}

export interface ConnectionDeps {
  readonly host: string;
  readonly port: number;
  /** PEM; left out, in the clear. */
  readonly ca: string | undefined;
  /** Whole requests, sent in turn and from the top again. */
  readonly requests: readonly Buffer[];
  readonly firstRequest: number;
  /** An answer with this in its body failed, whatever its status. */
  readonly refusalMark: Buffer | undefined;
  onAnswer(latencyMs: number): void;
  onFailure(what: string): void;
}

const READ_BUFFER_BYTES = 256 * 1024;
const STOP_MS = 5000;
const SHOWN_CHARS = 300;
const HEAD_END = Buffer.from('\r\n\r\n');
const LENGTH_NAME = 'content-length: ';
const DIGIT_0 = 0x30;
/** Where the first digit of the status stands: `HTTP/1.1 200 OK`. */
const STATUS_AT = 9;

/** One for all connections: what is read is looked at before the next read. */
const readBuffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);

export async function openConnection(deps: ConnectionDeps): Promise<Connection> {
  const { requests, refusalMark, onAnswer, onFailure } = deps;
  let next = deps.firstRequest;
  let sentAt = 0;
  let isStopping = false;
  const stopped = Promise.withResolvers<void>();
  /** The beginning of an answer that came in several reads. */
  let held: Buffer | undefined;

  const send = (): void => {
    if (isStopping) {
      stopped.resolve();
      return;
    }
    const request = requests[next];
    if (request === undefined) throw new Error('a connection needs a request');
    next = next + 1 === requests.length ? 0 : next + 1;
    sentAt = performance.now();
    socket.write(request);
  };

  const take = (bytes: Buffer): void => {
    const bodyAt = bytes.indexOf(HEAD_END) + HEAD_END.length;
    if (bodyAt < HEAD_END.length || bytes.length < bodyAt + contentLength(bytes, bodyAt)) {
      held = Buffer.from(bytes);
      return;
    }
    held = undefined;
    onAnswer(performance.now() - sentAt);
    const refusalAt = refusalMark === undefined ? -1 : bytes.indexOf(refusalMark, bodyAt);
    if (bytes[STATUS_AT] !== DIGIT_0 + 2 || refusalAt >= 0) {
      const shownAt = Math.max(bodyAt, refusalAt);
      onFailure(`${bytes.toString('latin1', STATUS_AT, STATUS_AT + 3)} ${bytes.toString('utf8', shownAt, shownAt + SHOWN_CHARS)}`);
    }
    send();
  };

  const onRead = (bytes: Buffer): void => take(held === undefined ? bytes : Buffer.concat([held, bytes]));
  const socket = await openSocket(deps, onRead);
  socket.on('error', (fault) => onFailure(fault.message));
  socket.once('close', () => {
    if (!isStopping) onFailure('the server closed the connection');
    stopped.resolve();
  });

  return {
    start: send,
    async stop() {
      isStopping = true;
      const timer = setTimeout(() => {
        onFailure(`no answer within ${STOP_MS} ms`);
        stopped.resolve();
      }, STOP_MS);
      await stopped.promise;
      clearTimeout(timer);
      socket.destroy();
    },
  };
}

async function openSocket({ host, port, ca }: ConnectionDeps, onRead: (bytes: Buffer) => void): Promise<Socket> {
  if (ca !== undefined) {
    const secured = connectTls({ host, port, ca, servername: 'localhost' });
    secured.setNoDelay(true);
    await once(secured, 'secureConnect');
    return secured.on('data', onRead);
  }
  const socket = connect({
    host, port, noDelay: true,
    onread: {
      buffer: readBuffer,
      callback(lengthBytes) {
        onRead(readBuffer.subarray(0, lengthBytes));
        return true;
      },
    },
  });
  await once(socket, 'connect');
  return socket;
}

let lengthAt = 0;

/** The length of the body; it mostly stands where it stood in the answer before, as only ids differ. */
function contentLength(bytes: Buffer, bodyAt: number): number {
  const digitsAt = isLengthAt(bytes, lengthAt) ? lengthAt : findLength(bytes, bodyAt);
  let length = 0;
  for (let at = digitsAt; at < bodyAt; at++) {
    const digit = (bytes[at] ?? 0) - DIGIT_0;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  lengthAt = digitsAt;
  return length;
}

function isLengthAt(bytes: Buffer, at: number): boolean {
  const nameAt = at - LENGTH_NAME.length;
  return nameAt > 0 && bytes.toString('latin1', nameAt, at).toLowerCase() === LENGTH_NAME;
}

function findLength(bytes: Buffer, bodyAt: number): number {
  const at = bytes.toString('latin1', 0, bodyAt).toLowerCase().indexOf(`\r\n${LENGTH_NAME}`);
  if (at < 0) throw new Error('an answer without content-length');
  return at + 2 + LENGTH_NAME.length;
}
