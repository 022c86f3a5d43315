import { secureHeapUsed } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dlopen } from 'node:ffi';

/** How well the process keeps its memory to itself. */
export interface MemoryProtection {
  /** Locked into RAM, KiB: `VmLck` of proc(5). 0 where the kernel does not tell. */
  readonly lockedKiB: number;
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
export function turnCoreDumpsOff(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const { functions } = dlopen('libc.so.6', { prctl: { arguments: ['int32', 'uint64', 'uint64', 'uint64', 'uint64'], return: 'int32' } });
    functions.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n);
    return functions.prctl(PR_GET_DUMPABLE, 0n, 0n, 0n, 0n) === 0;
  } catch {
    return false;
  }
}

export function readMemoryProtection(coreDumpsOff: boolean): MemoryProtection {
  return { lockedKiB: readLockedKiB(), secureHeapBytes: secureHeapUsed()?.total ?? 0, coreDumpsOff };
}

/** What is weaker than it should be, each with what to do about it. */
export function weaknessesOf({ lockedKiB, secureHeapBytes, coreDumpsOff }: MemoryProtection): readonly string[] {
  return [
    ...(lockedKiB === 0 ? ['no memory is locked: raise the memlock limit (LimitMEMLOCK=, ulimit -l) to 64 MiB or more'] : []),
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
