import type { Command } from '../cli/command.ts';
import { isKernelClockSynchronised } from '../adapters/system/kernel-clock.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { protectMemory, readMemlockLimit } from '../adapters/system/process-guard.ts';
import { makeDoctor } from '../cli/doctor.ts';
import { examineInstance } from './doctor-instance.ts';

/** `ron-kms doctor`, with what only the adapters can find out about the process. */
export function makeDoctorCommand(nodeVersion: string): Command {
  return makeDoctor(() => ({
    nodeVersion,
    memlockLimitBytes: readMemlockLimit(),
    isClockSynchronised: isKernelClockSynchronised(),
    ...protectMemory(createLockedMemory()),
  }), examineInstance);
}
