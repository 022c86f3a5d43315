import { dlopen } from 'node:ffi';

/** Larger than `struct timex` of every ABI. */
const TIMEX_BYTES = 256;
const TIME_ERROR = 5;

/** Whether the kernel's clock is disciplined: adjtimex(2) with no mode set only reads. Undefined where it does not tell. */
export function isKernelClockSynchronised(): boolean | undefined {
  try {
    const { functions } = dlopen('libc.so.6', { adjtimex: { arguments: ['pointer'], return: 'int32' } });
    const state = functions.adjtimex(Buffer.alloc(TIMEX_BYTES));
    return state < 0 ? undefined : state !== TIME_ERROR;
  } catch {
    return undefined;
  }
}
