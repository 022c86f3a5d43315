import { inspect } from 'node:util';
import type { Reveal } from './reveal.ts';

const HIDDEN = '[secret]';

/**
 * Bytes that cannot be printed, logged or serialised: every way to turn one into text gives the same
 * word. Reading needs the `REVEAL` token, which only the files listed in the architecture test import.
 */
export class Secret {
  #bytes: Buffer | undefined;
  readonly #release: (bytes: Buffer) => void;

  /** Takes the buffer over: the caller must not keep it. `release` zeroes it and may use it again. */
  constructor(bytes: Buffer, release: (bytes: Buffer) => void = (own) => own.fill(0)) {
    this.#bytes = bytes;
    this.#release = release;
  }

  /** The bytes themselves, not a copy; throws once destroyed. */
  read(_token: Reveal): Buffer {
    if (this.#bytes === undefined) throw new Error('a destroyed secret was read');
    return this.#bytes;
  }

  /** Overwrites the bytes with zeros. Safe to call twice. */
  destroy(): void {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    if (bytes !== undefined) this.#release(bytes);
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
