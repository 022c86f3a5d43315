import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Starts this very program again, with other arguments, its log unread. */
export type SpawnService = (args: readonly string[]) => ChildProcess;

export interface ChildService {
  readonly apiUrl: string;
  readonly metricsUrl: string;
  readonly pid: number;
  /** What a verifier of its log pins. */
  readonly log: { readonly origin: string; readonly vkeys: readonly string[] };
  stop(): Promise<void>;
}

/** A service in a process of its own, on free ports of loopback; resolves when it listens. */
export async function startChildService(spawnService: SpawnService, flags: readonly string[]): Promise<ChildService> {
  const child = spawnService(['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json', ...flags]);
  const ended = once(child, 'exit');
  if (child.stdout === null || child.pid === undefined) throw new Error('the service did not start');
  const line = await Promise.race([once(createInterface(child.stdout), 'line'), ended.then(() => undefined)]);
  if (line === undefined) throw new Error('the service ended before it listened; ron-kms serve --profile micronode says why');
  const { api_url: apiUrl, metrics_url: metricsUrl, log } = JSON.parse(String(line[0])) as { api_url: string; metrics_url: string; log: ChildService['log'] };
  return {
    apiUrl, metricsUrl, log, pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
