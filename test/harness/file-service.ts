import type { VerifierKey } from '../../client/src/log/vkey.ts';
import type { Answer, Serving } from './service.ts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { eventually } from './poll.ts';
import { call, everything, keysetText, ROOT_KEY_ID, ROOT_SECRET, serve, tokenOf } from './service.ts';

/** What `ron-kms init` makes, and the processes that serve it. */
export interface FileInstance {
  readonly origin: string;
  readonly vkeys: readonly VerifierKey[];
  /** Where a device gives evidence. */
  readonly attestationKey: string | undefined;
  /** As `init` has set it. */
  readonly auditDir: string;
  /** `ron-kms serve` with the settings of `init`, and more; whatever still runs at the end is for `endInstances`. */
  start(options?: StartOptions): Promise<Serving>;
  /** What a `serve` says that does not come up; fails when it does. */
  startRefused(options?: StartOptions): Promise<string>;
}

interface StartOptions {
  /** Another place than `init` has set. */
  readonly auditDir?: string;
  readonly flags?: readonly string[];
  /** Over the usual environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** A program that runs it, with its arguments. */
  readonly under?: readonly string[];
  /** Not root, whom no permission stops. */
  readonly uid?: number;
}

const running: Serving[] = [];

/** Ends every process of every instance that still runs; for the end of a test, also of one that failed. */
export async function endInstances(): Promise<void> {
  await Promise.all(running.splice(0).map((serving) => serving.end('SIGKILL')));
}

const ENV = { KMS_TEST_WORDS: 'otter lantern quartz meadow' };

/** For every tenant, with every scope. */
export const OPERATOR = tokenOf({ caveats: everything('*') });
export const DIGEST = 'ab'.repeat(32);

interface InitOptions {
  readonly auditDir?: string;
  /** Flags of each start. */
  readonly always?: readonly string[];
  /** Of `init`, besides where things lie. */
  readonly init?: readonly string[];
  /** Of `init` and each start, over the usual. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A new instance with its settings in `root`, its root key under a passphrase where nothing else is said. */
export async function initInstance(root: string, { auditDir = join(root, 'audit'), always = [], init = ['--passphrase-env', 'KMS_TEST_WORDS'], environment = {} }: InitOptions = {}): Promise<FileInstance> {
  const [config, keyset] = [join(root, 'kms.toml'), join(root, 'keyset.json')];
  const { code, out, err } = await ronKms(['init', ...init, '--audit-dir', auditDir, '--sealed-dir', join(root, 'sealed'), '--config', config, '--json'], { cwd: root, env: { ...ENV, ...environment } });
  if (code !== 0) throw new Error(`init ended with ${code}: ${err}`);
  const { origin, keys, attestation_key: attestationKey } = JSON.parse(out) as { origin: string; keys: { vkey: string }[]; attestation_key?: string };
  writeFileSync(keyset, keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }]), { mode: 0o600 });

  const start = async ({ auditDir: dir = auditDir, flags = [], env = {}, uid, under = [] }: StartOptions = {}): Promise<Serving> => {
    const all = ['--config', config, '--audit-dir', dir, '--auth-keyset-path', keyset, '--security-sign-rate-limit-rps', '0', ...always, ...flags];
    const serving = await serve(all, { cwd: root, env: { ...ENV, ...environment, ...env }, under, ...(uid !== undefined && { uid }) });
    running.push(serving);
    return serving;
  };

  return {
    origin, auditDir, start, attestationKey,
    vkeys: keys.flatMap(({ vkey }) => parseVkey(vkey) ?? []),
    async startRefused(options) {
      const serving = await start(options).catch((fault: unknown) => String(fault));
      if (typeof serving !== 'string') throw new Error('it came up');
      return serving;
    },
  };
}

export interface Readiness {
  readonly status: number;
  readonly missing: readonly string[];
  readonly conditions: Readonly<Record<string, boolean>>;
}

export async function readinessOf({ metricsUrl }: Pick<Serving, 'metricsUrl'>): Promise<Readiness> {
  const response = await fetch(`${metricsUrl}/readyz`);
  return { ...await response.json() as Omit<Readiness, 'status'>, status: response.status };
}

export async function untilReady(service: Serving, withinMs = 10_000): Promise<void> {
  await eventually('the service is ready', withinMs, async () => (await readinessOf(service)).status === 200);
}

/** The number that a counter without labels stands at. */
export async function counterOf({ metricsUrl }: Pick<Serving, 'metricsUrl'>, name: string): Promise<number | undefined> {
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${metricsUrl}/metrics`)).text());
  return found === null ? undefined : Number(found[1]);
}

/** The text of a receipt; waits, as the service does, for the checkpoint over it. */
export async function receiptOf({ apiUrl }: Pick<Serving, 'apiUrl'>, index: number): Promise<string> {
  const response = await fetch(`${apiUrl}/v1/kms/audit/receipts/${index}`, { headers: { authorization: `Bearer ${OPERATOR}` } });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`no receipt of ${index}: ${response.status} ${text}`);
  return text;
}

export function signBatch(service: Pick<Serving, 'apiUrl'>, kid: string, count = 256): Promise<Answer> {
  return call(service, 'POST', '/sign/batch', { items: Array.from({ length: count }, () => ({ kid, payload_b3: DIGEST })) });
}
