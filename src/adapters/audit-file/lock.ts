import type { FileLayer } from './file-layer.ts';
import { join } from 'node:path';

/** The processes of this machine. */
export interface Processes {
  readonly ownPid: number;
  /** Tells one process from a later one of the same pid; undefined when none of this pid runs. */
  lifeOf(pid: number): string | undefined;
}

const HOLDER = /^(\d{1,10}) (\S*)\n$/;

/**
 * The one writer of a directory says so in `lock`: its pid, and which of all processes with that pid it was. Of a process
 * that is no more the lock is taken over. Gives what releases it; throws, naming the holder, when another one writes.
 */
export async function takeLock(files: FileLayer, directory: string, processes: Processes): Promise<() => Promise<void>> {
  const path = join(directory, 'lock');
  const own = `${processes.ownPid} ${processes.lifeOf(processes.ownPid) ?? ''}\n`;
  const held = files.readNow(path)?.toString('utf8');
  if (held !== undefined) await setAside(files, path, held, processes);
  create(files, path, own);
  return async () => {
    if (files.readNow(path)?.toString('utf8') === own) await files.unlink(path);
  };
}

/** By a rename, which only one of two that try at once can do; and it may find that the other's lock is there by now. */
async function setAside(files: FileLayer, path: string, held: string, processes: Processes): Promise<void> {
  refuseWhileAlive(path, held, processes);
  const aside = `${path}.${processes.ownPid}`;
  await files.rename(path, aside);
  const moved = files.readNow(aside)?.toString('utf8') ?? '';
  if (moved !== held) {
    await files.rename(aside, path);
    refuseWhileAlive(path, moved, processes);
  } else await files.unlink(aside);
}

function refuseWhileAlive(path: string, held: string, { lifeOf, ownPid }: Processes): void {
  const [, pidText = '', life = ''] = HOLDER.exec(held) ?? [];
  const pid = Number(pidText);
  // A lock that a crash left half written is nobody's.
  if (pidText === '' || lifeOf(pid) === undefined || lifeOf(pid) !== life) return;
  throw new Error(pid === ownPid ? `${path}: this process has it open already` : `${path}: process ${pid} writes here; stop it first`);
}

function create(files: FileLayer, path: string, own: string): void {
  const fd = files.open(path, 'wx');
  try {
    files.write(fd, Buffer.from(own, 'utf8'));
  } finally {
    files.close(fd);
  }
}
