import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deriveMacaroonKey, mint } from '../../src/core/macaroon/chain.ts';
import { encodeToken } from '../../src/core/macaroon/codec.ts';
import { scopes } from '../../src/core/macaroon/caveats.ts';

export const LAUNCHER = fileURLToPath(new URL('../../bin/ron-kms', import.meta.url));
export const ROOT_KEY_ID = 'test';
export const ROOT_SECRET = Buffer.alloc(32, 7);

/** A real service in a real process, on free ports, with a key set whose secret the tests know. */
export interface TestService {
  readonly apiUrl: string;
  readonly metricsUrl: string;
  readonly pid: number;
  /** A scratch directory that goes with the service; the key set is `keyset.json` in it. */
  readonly directory: string;
  /** Everything written to standard error so far: the JSON log. */
  log(): string;
  /** Ends the process with SIGTERM and waits; gives its exit code. */
  stop(): Promise<number | null>;
}

export interface StartOptions {
  /** More flags for `serve`, after the standard ones. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Written as kms.toml and given with --config. */
  readonly toml?: string;
}

export function startService(options: StartOptions = {}): Promise<TestService> {
  return startBy(serve, options);
}

/** The same, served in a way of its own (test/mutation/service-here.ts). */
export async function startBy(serveIt: (flags: readonly string[], options: Pick<ServeOptions, 'cwd' | 'env'>) => Promise<Serving>, { flags = [], env = {}, toml }: StartOptions = {}): Promise<TestService> {
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-test-'));
  const keysetPath = join(directory, 'keyset.json');
  writeFileSync(keysetPath, keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }]), { mode: 0o600 });
  if (toml !== undefined) writeFileSync(join(directory, 'kms.toml'), toml);
  const serving = await serveIt([
    '--profile', 'micronode', '--auth-keyset-path', keysetPath, '--security-sign-rate-limit-rps', '0',
    ...(toml === undefined ? [] : ['--config', join(directory, 'kms.toml')]), ...flags,
  ], { cwd: directory, env });
  return {
    ...serving, directory,
    async stop() {
      const exitCode = await serving.end('SIGTERM');
      rmSync(directory, { recursive: true, force: true });
      return exitCode;
    },
  };
}

/** A process of `ron-kms serve` that listens. */
export interface Serving extends Pick<TestService, 'apiUrl' | 'metricsUrl' | 'pid' | 'log'> {
  /** Sends the signal and waits until the process has gone; gives its exit code. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>;
  /** Resolves when it has ended by itself, with its exit code. */
  gone(): Promise<number | null>;
}

interface ServeOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  /** A program that runs it, with its arguments. */
  readonly under?: readonly string[];
}

/** Starts `ron-kms serve` on free ports; throws with its log when it ends before it listens. */
export async function serve(flags: readonly string[], { cwd, env = {}, uid, under = [] }: ServeOptions): Promise<Serving> {
  const words = [...under, LAUNCHER];
  const child = spawn(words[0] ?? LAUNCHER, [...words.slice(1), 'serve', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json', ...flags], {
    cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], ...(uid !== undefined && { uid, gid: uid }),
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => { log += chunk.toString(); });
  const line = await firstLine(child, () => log);
  const { api_url: apiUrl, metrics_url: metricsUrl } = JSON.parse(line) as { api_url: string; metrics_url: string };
  return {
    apiUrl, metricsUrl, pid: child.pid ?? 0,
    log: () => log,
    async gone() {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      return child.exitCode;
    },
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await once(child, 'exit');
      }
      return child.exitCode;
    },
  };
}

export function keysetText(keys: readonly { id: string; secret: Buffer }[]): string {
  return JSON.stringify({ keys: keys.map(({ id, secret }) => ({ id, secret_b64: secret.toString('base64') })) });
}

export interface TokenOptions {
  readonly caveats?: readonly string[];
  readonly rootKeyId?: string;
  readonly secret?: Buffer;
  readonly clientId?: string;
  readonly tokenId?: string;
}

/** A token of the test root key with exactly these caveats; `everything(tenant)` is the usual list. */
export function tokenOf({ caveats = everything('core'), rootKeyId = ROOT_KEY_ID, secret = ROOT_SECRET, clientId = 'tester', tokenId = 't1' }: TokenOptions = {}): string {
  return encodeToken(mint(deriveMacaroonKey(secret), `ron1.${rootKeyId}.${clientId}.${tokenId}`, caveats));
}

/** Every scope, one tenant, an hour to live. */
export function everything(tenant: string): readonly string[] {
  return [`scope = ${scopes.join(',')}`, `tenant = ${tenant}`, `expires = ${inFuture(3_600_000)}`];
}

export function inFuture(ms: number): string {
  return new Date(Date.now() + ms).toISOString();
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // The tests look into answers of every call; the schemas of the wire are held by a test of their own.
  readonly body: Record<string, any>;
}

/** One call; `body` undefined sends none. */
export async function call(service: Pick<TestService, 'apiUrl'>, method: string, path: string, body?: unknown, token: string | undefined = tokenOf()): Promise<Answer> {
  const response = await fetch(`${service.apiUrl}/v1/kms${path}`, {
    method,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, any> };
}

/** A new key, or the test fails with what the service said. */
export async function createKey(service: Pick<TestService, 'apiUrl'>, fields: Record<string, unknown> = {}, token?: string): Promise<Record<string, any>> {
  const { status, body } = await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', ...fields }, token);
  if (status !== 201) throw new Error(`create answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

async function firstLine(child: ChildProcess, log: () => string): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => { text += chunk.toString(); });
  while (!text.includes('\n')) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the service ended with ${child.exitCode ?? child.signalCode}: ${log()}`);
    await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'close')]);
  }
  return text.slice(0, text.indexOf('\n'));
}
