import type { ChildProcess } from 'node:child_process';
import type { Instance } from './instance.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { scopes } from '../src/core/macaroon/caveats.ts';
import { deriveMacaroonKey, mint } from '../src/core/macaroon/chain.ts';
import { encodeToken } from '../src/core/macaroon/codec.ts';
import { LAUNCHER, launcherEnvironment } from './launcher.ts';

const ROOT_KEY_ID = 'bench';
const SECRET_BYTES = 32;
const TOKEN_LIFE_MS = 24 * 3_600_000;

/** The usual tenant and purpose of the bench. */
export const TENANT = 'core';
export const PURPOSE = 'bench';

/** What an answer waits for where the log is a file, as `audit.durability` has it. */
export type Durability = 'disk' | 'os';

/** The product as it is started: its launcher, its token check, its log lines; only the rate limit is off. */
export interface ServiceUnderTest {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  readonly metricsUrl: string;
  /** The CA of its certificate, PEM, where it speaks TLS. */
  readonly ca?: string;
  /** Four caveats: scope, tenant, purpose, expires. */
  tokenFor(tenant: string): string;
  /** From the spawn to the line that says where it listens. */
  readonly startedInMs: number;
  stop(): Promise<void>;
  /** As a crash ends it. */
  kill(): Promise<void>;
}

export interface StartOptions {
  readonly signal: AbortSignal;
  /** Where V8 keeps compiled code; left out, the launcher's own place. */
  readonly compileCache?: string;
  /** The log it writes; left out, the log lives in RAM. */
  readonly log?: { readonly instance: Instance; readonly durability: Durability };
  /** Where its log lines go; left out, nowhere. */
  readonly linesPath?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** More flags for `serve`. */
  readonly flags?: readonly string[];
  /** The CA of the certificate that the flags name. */
  readonly ca?: string;
}

export async function startServiceUnderTest({ signal, compileCache, log, linesPath = devNull, flags = [], env = {}, ca }: StartOptions): Promise<ServiceUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-bench-'));
  const secret = randomBytes(SECRET_BYTES);
  const keysetPath = join(directory, 'keyset.json');
  writeFileSync(keysetPath, JSON.stringify({ keys: [{ id: ROOT_KEY_ID, secret_b64: secret.toString('base64') }] }), { mode: 0o600 });
  const linesFd = openSync(linesPath, 'w');

  const spawnedAt = performance.now();
  const child = spawn(LAUNCHER, [
    'serve', ...whereTheLogIs(log), '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json',
    '--auth-keyset-path', keysetPath, '--security-sign-rate-limit-rps', '0', ...flags,
  ], { cwd: directory, env: { ...launcherEnvironment(compileCache), ...env }, stdio: ['ignore', 'pipe', linesFd], signal });
  closeSync(linesFd);
  // An abort is an error of the child too; whoever waits for the service hears of it by its end.
  child.on('error', () => undefined);
  const exited = once(child, 'exit').catch(() => undefined);
  const end = async (how: NodeJS.Signals): Promise<void> => {
    child.kill(how);
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  const stop = (): Promise<void> => end('SIGTERM');
  try {
    const line = await firstLine(child);
    const startedInMs = performance.now() - spawnedAt;
    const { api_url: apiUrl, metrics_url: metricsUrl } = JSON.parse(line) as { api_url: string; metrics_url: string };
    const url = new URL(apiUrl);
    return { pid: child.pid ?? 0, host: url.hostname, port: Number(url.port), metricsUrl, ...(ca !== undefined && { ca }), tokenFor: (tenant) => tokenOf(secret, tenant), startedInMs, stop, kill: () => end('SIGKILL') };
  } catch (fault) {
    await stop();
    throw fault;
  }
}

function whereTheLogIs(log: StartOptions['log']): readonly string[] {
  return log === undefined ? ['--profile', 'micronode'] : ['--config', log.instance.configPath, '--audit-durability', log.durability, '--pq-verify-mode', 'or'];
}

function tokenOf(secret: Buffer, tenant: string): string {
  const caveats = [`scope = ${scopes.join(',')}`, `tenant = ${tenant}`, `purpose = ${PURPOSE}`, `expires = ${new Date(Date.now() + TOKEN_LIFE_MS).toISOString()}`];
  return encodeToken(mint(deriveMacaroonKey(secret), `ron1.${ROOT_KEY_ID}.bench.t1`, caveats));
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the service has no output');
  const lines = createInterface({ input: child.stdout });
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the service ended with ${code} before it listened; start bin/ron-kms serve --profile micronode to see why`)));
    child.once('error', reject);
  });
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  return line;
}
