import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A process of this directory that does one job at a time and answers each. */
export interface Worker<Job, Result> {
  readonly pid: number;
  ask(job: Job): Promise<Result>;
  stop(): void;
}

type Reply<Result> = { readonly result: Result } | { readonly fault: string };

export function startWorker<Job extends object, Result>(file: string, execArgv: readonly string[], signal: AbortSignal, env: Readonly<Record<string, string>> = {}): Worker<Job, Result> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), { execArgv: [...execArgv], env: { ...process.env, ...env }, signal, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('exit', (code, killedBy) => reject(new Error(`${file} ended with ${killedBy ?? code}`)));
    child.once('error', reject);
  });
  // Whoever waits for an answer hears of the end; nobody else needs to.
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    async ask(job) {
      child.send(job);
      const [reply] = (await Promise.race([once(child, 'message'), ended])) as [Reply<Result>];
      if ('fault' in reply) throw new Error(`${file}: ${reply.fault}`);
      return reply.result;
    },
    stop() {
      if (child.connected) child.disconnect();
    },
  };
}

/** The other side: answers every job by `work`, until the parent lets go. */
export function serveJobs(work: (job: never) => Promise<unknown>): void {
  process.on('message', (job) => {
    work(job as never).then((result) => reply({ result }), (fault: unknown) => reply({ fault: String(fault) }));
  });
  process.once('disconnect', () => process.exit());
}

function reply(message: Reply<unknown>): void {
  process.send?.(message);
}
