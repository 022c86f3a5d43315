import { readFileSync, writeFileSync } from 'node:fs';

/** Linux counts processor time for the outside in ticks of 10 ms, whatever the kernel's own tick (USER_HZ). */
const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

/** User and system time of all threads of a process so far. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is a name that may hold spaces; utime and stime are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The most that was resident since it was reset: VmHWM of proc(5). */
export function peakRssMibOf(pid: number): number {
  return statusMib(pid, 'VmHWM');
}

/** From here on the peak is counted anew (proc(5), clear_refs). */
export function resetPeakRss(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Resident memory: VmRSS of proc(5). */
export function rssMibOf(pid: number): number {
  return statusMib(pid, 'VmRSS');
}

function statusMib(pid: number, name: string): number {
  const line = readFileSync(`/proc/${pid}/status`, 'latin1').split('\n').find((text) => text.startsWith(`${name}:`)) ?? '';
  return Number(/\d+/.exec(line)?.[0]) / KIB_PER_MIB;
}
