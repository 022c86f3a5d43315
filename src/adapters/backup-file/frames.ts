/**
 * Frames of libsodium's secretstream (XChaCha20-Poly1305): each one authenticates that it comes behind those before it, and the
 * last one that it is the last. A file that was cut, or whose frames were moved, does not open.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Secret } from '../../core/secret.ts';
import sodium from 'sodium-native';
import { REVEAL } from '../../core/reveal.ts';

const STATE_BYTES = sodium.crypto_secretstream_xchacha20poly1305_STATEBYTES;
const NONCE_BYTES = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES;
const OVERHEAD_BYTES = sodium.crypto_secretstream_xchacha20poly1305_ABYTES;
const MORE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
const LAST = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL;
const LENGTH_BYTES = 4;

/** Plaintext of one frame, at most. */
export const FRAME_BYTES_MAX = 1 << 20;

export interface FrameWriter {
  write(plaintext: Uint8Array, isLast: boolean): Promise<void>;
  destroy(): void;
}

/** Writes behind what the file has, `first` being authenticated with the first frame. */
export async function writeFrames(file: FileHandle, key: Secret, first: Buffer): Promise<FrameWriter> {
  const state = Buffer.alloc(STATE_BYTES);
  const nonce = Buffer.alloc(NONCE_BYTES);
  sodium.crypto_secretstream_xchacha20poly1305_init_push(state, nonce, key.read(REVEAL));
  await file.writeFile(nonce);
  let associated: Buffer | null = first;
  return {
    async write(plaintext, isLast) {
      const frame = Buffer.allocUnsafe(LENGTH_BYTES + plaintext.length + OVERHEAD_BYTES);
      frame.writeUInt32BE(plaintext.length + OVERHEAD_BYTES, 0);
      sodium.crypto_secretstream_xchacha20poly1305_push(state, frame.subarray(LENGTH_BYTES), bufferOf(plaintext), associated, isLast ? LAST : MORE);
      associated = null;
      await file.writeFile(frame);
    },
    destroy: () => { state.fill(0); },
  };
}

export interface Frame {
  readonly plaintext: Buffer;
  readonly isLast: boolean;
}

export interface FrameReader {
  /** The next frame. Throws when it is not the one that was written there. */
  read(): Promise<Frame>;
  destroy(): void;
}

/** Reads from `position` on; `first` is what was authenticated with the first frame. */
export async function readFrames(file: FileHandle, position: number, key: Secret, first: Buffer): Promise<FrameReader> {
  let at = position;
  const take = async (length: number): Promise<Buffer> => {
    const bytes = Buffer.allocUnsafe(length);
    const { bytesRead } = await file.read(bytes, 0, length, at);
    at += bytesRead;
    if (bytesRead < length) throw new Error('it is cut short');
    return bytes;
  };
  const state = Buffer.alloc(STATE_BYTES);
  sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, await take(NONCE_BYTES), key.read(REVEAL));
  const tag = Buffer.alloc(1);
  let associated: Buffer | null = first;
  return {
    async read() {
      const length = (await take(LENGTH_BYTES)).readUInt32BE();
      if (length < OVERHEAD_BYTES || length > FRAME_BYTES_MAX + OVERHEAD_BYTES) throw new Error(`it is damaged before byte ${at}`);
      const sealed = await take(length);
      const plaintext = Buffer.alloc(length - OVERHEAD_BYTES);
      try {
        sodium.crypto_secretstream_xchacha20poly1305_pull(state, plaintext, tag, sealed, associated);
      } catch (cause) {
        throw new Error(associated === null ? `it is damaged before byte ${at}` : 'it does not open: this is the wrong key, or it was changed', { cause });
      }
      associated = null;
      return { plaintext, isLast: tag[0] === LAST };
    },
    destroy: () => { state.fill(0); },
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
