import { readFileSync } from 'node:fs';

const ENDED: ReadonlySet<string> = new Set(['Z', 'X']);

/** Which of all processes that ever had a pid runs under it now; undefined when none does. */
function lifeOf(pid: number): string | undefined {
  try {
    // proc_pid_stat(5): the start time is field 22, and the name in field 2 may hold spaces and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // One that has ended stays listed until its parent asks how; it runs no more.
    return ENDED.has(state) ? undefined : fields[18];
  } catch {
    return process.platform === 'linux' ? undefined : lifeBySignal(pid);
  }
}

/** Where there is no /proc: it runs, or it does not. */
function lifeBySignal(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return 'running';
  } catch (fault) {
    return fault instanceof Error && 'code' in fault && fault.code === 'EPERM' ? 'running' : undefined;
  }
}

export const systemProcesses = { ownPid: process.pid, lifeOf } as const;
