/** Stands for test/harness/service.ts where mutants are tried: the same calls, to a service in this process, where a mutant is switched on. */
import type { Serving, StartOptions, TestService } from '../harness/service.ts';
import { createLogLines } from '../../src/adapters/telemetry/log-lines.ts';
import { parseFor } from '../../src/cli/command-line.ts';
import { settingsReader } from '../../src/cli/settings.ts';
import { makeServeCommand } from '../../src/compose/serve-command.ts';
import { startService as startHere } from '../../src/compose/service.ts';
import { checkConfig } from '../../src/config/check.ts';
import { startBy } from '../harness/service.ts';

export * from '../harness/service.ts';

/** Process numbers beyond any of Linux: SIGHUP to one reaches the service that was given it. */
const FIRST_PID = 2 ** 22 + 1;
const reloads: (() => Promise<void>)[] = [];
const { kill } = process;
process.kill = (pid, signal) => {
  const reload = reloads[pid - FIRST_PID];
  if (reload === undefined) return kill(pid, signal);
  if (signal === 'SIGHUP') void reload();
  return true;
};

/** The service looks after itself once a second; tests that wait for that need not wait so long here. */
const { setInterval: every } = globalThis;
globalThis.setInterval = Object.assign((run: () => void, ms?: number) => every(run, ms === 1000 ? 100 : ms), every);

const command = makeServeCommand({ stopped: Promise.resolve(), onHangUp: () => undefined, version: {} });

export async function serve(flags: readonly string[], { cwd, env = {} }: { readonly cwd: string; readonly env?: StartOptions['env'] }): Promise<Serving> {
  let log = '';
  const environment = { ...process.env, ...env };
  const read = settingsReader(parseFor(command, ['--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', ...flags]), {
    env: environment, cwd, isTerminal: false, isErrTerminal: false, out: () => undefined, err: () => undefined, stdin: () => process.stdin,
  });
  const config = read();
  checkConfig(config);
  const service = await startHere({
    config, reread: read, log: createLogLines({ write: (line) => { log += line; } }),
    version: { version: '0.1.0', node: process.version }, environment, credentialsDirectory: environment['CREDENTIALS_DIRECTORY'],
  });
  let ending: Promise<number> | undefined;
  const end = (): Promise<number> => ending ??= service.stop().then(() => 0, () => 1);
  return { apiUrl: service.apiUrl, metricsUrl: service.metricsUrl, pid: FIRST_PID + reloads.push(service.reload) - 1, log: () => log, end, gone: end };
}

export function startService(options: StartOptions = {}): Promise<TestService> {
  return startBy(serve, options);
}
