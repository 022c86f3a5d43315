import type { LockedMemory } from './locked-memory.ts';
import { secureHeapUsed } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dlopen } from 'node:ffi';

/** How well the process keeps its memory to itself. */
export interface MemoryProtection {
  /** Locked into RAM, KiB: `VmLck` of proc(5). 0 where the kernel does not tell. */
  readonly lockedKiB: number;
  /** A slab of our own was really locked: OpenSSL's heap alone would make `VmLck` more than 0. */
  readonly isOwnMemoryLocked: boolean;
  /** OpenSSL's secure heap, bytes; 0 when it is not there. */
  readonly secureHeapBytes: number;
  readonly coreDumpsOff: boolean;
}

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/**
 * Turns core dumps and ptrace by other processes of the same user off (prctl(2), PR_SET_DUMPABLE); the
 * launcher's `ulimit -c 0` alone does not bind a core_pattern pipe. False where it cannot be done.
 */
function turnCoreDumpsOff(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const { functions } = dlopen('libc.so.6', { prctl: { arguments: ['int32', 'uint64', 'uint64', 'uint64', 'uint64'], return: 'int32' } });
    functions.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n);
    return functions.prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n) === 0;
  } catch {
    return false;
  }
}

/** Turns core dumps off, takes the first slab of locked memory, and reads what came of both. For the start of a process. */
export function protectMemory(memory: LockedMemory): MemoryProtection {
  const coreDumpsOff = turnCoreDumpsOff();
  const beforeKiB = readLockedKiB();
  memory.give(memory.take(1));
  const lockedKiB = readLockedKiB();
  return { lockedKiB, isOwnMemoryLocked: lockedKiB > beforeKiB, secureHeapBytes: secureHeapUsed()?.total ?? 0, coreDumpsOff };
}

/** What is weaker than it should be, each with what to do about it. */
export function weaknessesOf({ isOwnMemoryLocked, secureHeapBytes, coreDumpsOff }: MemoryProtection): readonly string[] {
  return [
    ...(!isOwnMemoryLocked ? ['our own memory could not be locked: raise the memlock limit (LimitMEMLOCK=, ulimit -l) to 64 MiB or more'] : []),
    ...(secureHeapBytes === 0 ? ['OpenSSL has no secure heap: start with bin/ron-kms, which asks for one'] : []),
    ...(coreDumpsOff ? [] : ['core dumps could not be turned off for this process']),
  ];
}

function readLockedKiB(): number {
  try {
    return Number(/^VmLck:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The soft limit of `Max locked memory` of proc_pid_limits(5), bytes; undefined where the kernel does not tell. */
export function readMemlockLimit(): number | undefined {
  try {
    const soft = /^Max locked memory\s+(\d+|unlimited)\s/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return undefined;
  }
}
