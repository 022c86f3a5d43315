import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { scopes } from '../src/core/macaroon/caveats.ts';
import { deriveMacaroonKey, mint } from '../src/core/macaroon/chain.ts';
import { encodeToken } from '../src/core/macaroon/codec.ts';

const LAUNCHER = fileURLToPath(new URL('../bin/ron-kms', import.meta.url));
const ROOT_KEY_ID = 'bench';
const SECRET_BYTES = 32;
const TOKEN_LIFE_MS = 24 * 3_600_000;

/** The one tenant and purpose of the bench. */
export const TENANT = 'core';
export const PURPOSE = 'bench';

/** The product as it is started: its launcher, its token check, its log lines; only the rate limit is off. */
export interface ServiceUnderTest {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** Four caveats: scope, tenant, purpose, expires. */
  readonly token: string;
  /** From the spawn to the line that says where it listens. */
  readonly startedInMs: number;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly signal: AbortSignal;
  /** Where V8 keeps compiled code; left out, the launcher's own place. */
  readonly compileCache?: string;
}

export async function startServiceUnderTest({ signal, compileCache }: StartOptions): Promise<ServiceUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-bench-'));
  const secret = randomBytes(SECRET_BYTES);
  const keysetPath = join(directory, 'keyset.json');
  writeFileSync(keysetPath, JSON.stringify({ keys: [{ id: ROOT_KEY_ID, secret_b64: secret.toString('base64') }] }), { mode: 0o600 });
  const logFd = openSync(devNull, 'w');

  const spawnedAt = performance.now();
  const child = spawn(LAUNCHER, [
    'serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json',
    '--auth-keyset-path', keysetPath, '--security-sign-rate-limit-rps', '0',
  ], { cwd: directory, env: environment(compileCache), stdio: ['ignore', 'pipe', logFd], signal });
  closeSync(logFd);
  // An abort is an error of the child too; whoever waits for the service hears of it by its end.
  child.on('error', () => undefined);
  const exited = once(child, 'exit').catch(() => undefined);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const line = await firstLine(child);
    const startedInMs = performance.now() - spawnedAt;
    const url = new URL((JSON.parse(line) as { api_url: string }).api_url);
    return { pid: child.pid ?? 0, host: url.hostname, port: Number(url.port), token: tokenOf(secret), startedInMs, stop };
  } catch (fault) {
    await stop();
    throw fault;
  }
}

/** The flags that the launcher gives to node, for a process that is to be like the service. */
export function launcherFlags(): readonly string[] {
  const line = readFileSync(LAUNCHER, 'utf8').split('\n').find((text) => text.startsWith('exec ')) ?? '';
  return line.match(/(?<= )--[\w=-]+/g) ?? [];
}

/** Without the settings of whoever runs the bench. */
function environment(compileCache: string | undefined): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RON_KMS_') && name !== 'NODE_COMPILE_CACHE');
  return { ...Object.fromEntries(own), ...(compileCache !== undefined && { NODE_COMPILE_CACHE: compileCache }) };
}

function tokenOf(secret: Buffer): string {
  const caveats = [`scope = ${scopes.join(',')}`, `tenant = ${TENANT}`, `purpose = ${PURPOSE}`, `expires = ${new Date(Date.now() + TOKEN_LIFE_MS).toISOString()}`];
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
