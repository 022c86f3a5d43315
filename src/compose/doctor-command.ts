import type { Command } from '../cli/command.ts';
import type { Host } from '../cli/doctor-finding.ts';
import { readFileSync } from 'node:fs';
import { dlopen } from 'node:ffi';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { readMemoryProtection, turnCoreDumpsOff } from '../adapters/system/process-guard.ts';
import { makeDoctor } from '../cli/doctor.ts';

/** `ron-kms doctor`, with what only the adapters can find out about the process. */
export function makeDoctorCommand(nodeVersion: string): Command {
  return makeDoctor(() => probeHost(nodeVersion));
}

function probeHost(nodeVersion: string): Host {
  // As `serve` does it: VmLck tells whether locking works once something was to be locked.
  createLockedMemory().take(1);
  return { nodeVersion, memlockLimitBytes: readMemlockLimit(), isClockSynchronised: askKernelClock(), ...readMemoryProtection(turnCoreDumpsOff()) };
}

/** The soft limit of `Max locked memory` in proc_pid_limits(5). */
function readMemlockLimit(): number | undefined {
  try {
    const soft = /^Max locked memory\s+(\d+|unlimited)\s/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return undefined;
  }
}

const TIMEX_BYTES = 256;
const TIME_ERROR = 5;

/** adjtimex(2) with no mode set only reads: `TIME_ERROR` is a clock that nobody disciplines. */
function askKernelClock(): boolean | undefined {
  try {
    const { functions } = dlopen('libc.so.6', { adjtimex: { arguments: ['pointer'], return: 'int32' } });
    const state = functions.adjtimex(Buffer.alloc(TIMEX_BYTES));
    return state < 0 ? undefined : state !== TIME_ERROR;
  } catch {
    return undefined;
  }
}
