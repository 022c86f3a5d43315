import { dlopen } from 'node:ffi';

/** Larger than `struct timex` of every ABI. */
const TIMEX_BYTES = 256;
const TIME_ERROR = 5;

let adjtimex: ((buffer: Buffer) => number) | undefined;

/** Whether the kernel's clock is disciplined: adjtimex(2) with no mode set only reads. Undefined where it does not tell. */
export function isKernelClockSynchronised(): boolean | undefined {
  try {
    // Opened once: it is asked each second where a service requires it.
    adjtimex ??= dlopen('libc.so.6', { adjtimex: { arguments: ['pointer'], return: 'int32' } }).functions.adjtimex;
    const state = adjtimex(Buffer.alloc(TIMEX_BYTES));
    return state < 0 ? undefined : state !== TIME_ERROR;
  } catch {
    return undefined;
  }
}
