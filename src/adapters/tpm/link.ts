import type { Duplex } from 'node:stream';
import type { FileHandle } from 'node:fs/promises';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { TpmFault } from './faults.ts';

/** A way to a TPM, one command at a time. */
export interface TpmLink {
  /** Its whole answer. Throws `TpmFault` when none comes in time. */
  exchange(command: Buffer): Promise<Buffer>;
  /** The TPM's resource manager lets go of all that was made over this link; a bare TPM does not. */
  close(): Promise<void>;
}

const HEADER_BYTES = 10;
const LENGTH_AT = 2;
const ANSWER_MAX_BYTES = 4096;
const HOST_AND_PORT = /^(127(?:\.\d{1,3}){3}|localhost|\[::1\]):(\d{1,5})$/;

/** `backends.tpm.device`: a character device (`/dev/tpmrm0`), the Unix socket of a simulator, or its port on loopback. */
export async function openTpmLink(device: string, deadlineMs: number): Promise<TpmLink> {
  const port = HOST_AND_PORT.exec(device);
  try {
    if (port !== null) return await overStream(connect({ host: port[1]?.replace(/^\[|\]$/g, '') ?? '', port: Number(port[2]) }), deadlineMs);
    if ((await stat(device)).isSocket()) return await overStream(connect({ path: device }), deadlineMs);
    return overDevice(await open(device, 'r+'), deadlineMs);
  } catch (fault) {
    throw new TpmFault('gone', `the TPM ${device} cannot be opened (${codeIn(fault)}): is it there, and may this user use it?`, { cause: fault });
  }
}

/** A simulator talks as the device does; only what it says may come in pieces. */
async function overStream(stream: Duplex & { readonly connecting?: boolean }, deadlineMs: number): Promise<TpmLink> {
  await within(once(stream, 'connect'), deadlineMs, () => stream.destroy());
  let got = Buffer.alloc(0);
  let waiting: ReturnType<typeof Promise.withResolvers<Buffer>> | undefined;
  stream.on('data', (piece: Buffer) => {
    got = Buffer.concat([got, piece]);
    const length = got.length < HEADER_BYTES ? HEADER_BYTES : got.readUInt32BE(LENGTH_AT);
    if (length > ANSWER_MAX_BYTES) waiting?.reject(new TpmFault('answer', 'the TPM gave an answer that is too long'));
    if (got.length < length) return;
    waiting?.resolve(got);
    got = Buffer.alloc(0);
  });
  const end = (): void => { waiting?.reject(new TpmFault('gone', 'the TPM ended the connection')); };
  stream.on('close', end).on('error', end);
  return {
    async exchange(command) {
      if (stream.destroyed) throw new TpmFault('gone', 'the TPM ended the connection');
      waiting = Promise.withResolvers<Buffer>();
      stream.write(command);
      return within(waiting.promise, deadlineMs, () => stream.destroy());
    },
    async close() {
      if (stream.destroyed) return;
      const closed = once(stream, 'close');
      stream.destroy();
      await closed;
    },
  };
}

/** The kernel takes one write as one command, and gives its answer to one read. A read that hangs keeps its thread, and the file, to its end. */
function overDevice(file: FileHandle, deadlineMs: number): TpmLink {
  let reading: Promise<unknown> = Promise.resolve();
  return {
    exchange(command) {
      const answer = (async () => {
        await file.write(command);
        const into = Buffer.alloc(ANSWER_MAX_BYTES);
        const { bytesRead } = await file.read(into, 0, into.length, null);
        return into.subarray(0, bytesRead);
      })().catch((fault: unknown) => {
        throw new TpmFault('gone', `the TPM does not answer (${codeIn(fault)})`, { cause: fault });
      });
      reading = answer.catch(() => undefined);
      return within(answer, deadlineMs, () => undefined);
    },
    async close() {
      void reading.then(() => file.close());
    },
  };
}

function within<T>(work: Promise<T>, deadlineMs: number, giveUp: () => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      giveUp();
      reject(new TpmFault('gone', `the TPM did not answer within ${deadlineMs / 1000} s`));
    }, deadlineMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function codeIn(fault: unknown): string {
  return fault instanceof Error && 'code' in fault ? String(fault.code) : 'no code';
}
