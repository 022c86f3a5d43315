import type { Instance } from './instance.ts';
import type { LoadJob, LoadResult } from './load.ts';
import type { RawTokenJob } from './raw-token.ts';
import type { ServiceUnderTest } from './service-under-test.ts';
import { request } from 'node:http';
import { startVault, VAULT_TOKEN } from '../test/harness/key-service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MODULE } from '../test/harness/softhsm.ts';
import { startSoftTpm, SWTPM } from '../test/harness/swtpm.ts';
import { median } from './figures.ts';
import { makeInstance } from './instance.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { startWorker } from './worker.ts';
import { createWorld, signBody, times } from './world.ts';

/** What hardware and key services cost over what they do themselves. */
export interface HardwareFigures {
  readonly sessions: readonly SessionsFigures[];
  /** From spawn to listening, milliseconds: of a root key in a key file, and of one that a TPM sealed; medians, in turn. */
  readonly keyfileStartMs: number;
  readonly tpmStartMs: number;
  /** Milliseconds, one after the other: what a key service takes for one decryption, and an unwrap by it, its entry on the disk; medians. */
  readonly cloudAloneMs: number;
  readonly cloudUnwrapMs: number;
}

interface SessionsFigures {
  readonly count: number;
  readonly rawPerSecond: number;
  readonly perSecond: number;
  /** The median of the rounds' ratios. */
  readonly ratio: number;
  /** Of the service's event loop, meanwhile. */
  readonly lagP99Ms: number;
}

export interface HardwareOptions {
  readonly windowMs: number;
  readonly rounds: number;
  readonly directory: string;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const SESSIONS = [4, 16] as const;
const CONNECTIONS = 64;
const REQUESTS = 64;
const STARTS = 9;
const UNWRAPS = 300;
const VAULT_KEY = 'bench';

export async function measureHardware(options: HardwareOptions): Promise<HardwareFigures> {
  if (SOFTHSM_MODULE === undefined || SWTPM === undefined) throw new Error('this part needs SoftHSM2 and swtpm: apt-get install softhsm2 swtpm tpm2-tools, and npm ci where there is a C++ compiler');
  const sessions: SessionsFigures[] = [];
  for (const count of SESSIONS) sessions.push(await measureToken(count, options));
  return { sessions, ...await measureTpmStart(options), ...await measureCloud(options) };
}

async function measureToken(count: number, { windowMs, rounds, directory, signal, progress }: HardwareOptions): Promise<SessionsFigures> {
  const soft = makeSoftToken();
  const stops: (() => unknown)[] = [() => soft.drop()];
  try {
    const env = { ...soft.env, BENCH_PIN: PIN };
    const instance = await makeInstance(directory, signal, { init: ['--backend', 'pkcs11', '--anchor', 'none', '--module-path', soft.modulePath, '--slot-label', LABEL, '--pin-env', 'BENCH_PIN'], env });
    stops.push(instance.remove);
    const service = await startServiceUnderTest({ signal, env, log: { instance, durability: 'disk' }, flags: ['--backends-pkcs11-sessions', String(count)] });
    stops.push(service.stop);
    const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
    stops.push(load.stop);
    const world = createWorld(service);
    const kid = await world.key('ed25519');
    const requests = await times(REQUESTS, async () => world.request('POST', '/sign', signBody(kid)));
    const rawPerSecond = async (): Promise<number> => {
      const raw = startWorker<RawTokenJob, { readonly perSecond: number }>('./raw-token.ts', [], signal, { ...env, UV_THREADPOOL_SIZE: String(count + 1) });
      try {
        return (await raw.ask({ modulePath: soft.modulePath, slotLabel: LABEL, pin: PIN, sessions: count, ms: windowMs })).perSecond;
      } finally {
        raw.stop();
      }
    };
    const lags: number[] = [];
    const pairs = await times(rounds, async () => {
      const raw = await rawPerSecond();
      await lagP99Ms(service);
      const result = await load.ask({ host: service.host, port: service.port, serverPid: service.pid, connections: CONNECTIONS, requests, warmUpMs: windowMs / 2, until: { ms: windowMs } });
      if (result.failures > 0) throw new Error(`${result.failures} signatures failed: ${result.firstFailure}`);
      lags.push(await lagP99Ms(service));
      return { raw, over: result.answers / result.seconds };
    });
    const figures = { count, rawPerSecond: median(pairs.map(({ raw }) => raw)), perSecond: median(pairs.map(({ over }) => over)), ratio: median(pairs.map(({ raw, over }) => over / raw)), lagP99Ms: median(lags) };
    progress(`hardware  ${count} sessions: ${Math.round(figures.perSecond)}/s over HTTP, ${Math.round(figures.rawPerSecond)}/s of the module alone (${figures.ratio.toFixed(2)}); event loop late by ${figures.lagP99Ms.toFixed(1)} ms (p99)`);
    return figures;
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

/** Since it was last asked. */
async function lagP99Ms({ metricsUrl }: ServiceUnderTest): Promise<number> {
  const text = await (await fetch(`${metricsUrl}/metrics`)).text();
  return 1000 * Number(/^kms_event_loop_lag_seconds\{quantile="0\.99"\} (\S+)$/m.exec(text)?.[1] ?? NaN);
}

async function measureTpmStart({ directory, signal, progress }: HardwareOptions): Promise<Pick<HardwareFigures, 'keyfileStartMs' | 'tpmStartMs'>> {
  const tpm = await startSoftTpm();
  const instances: Instance[] = [];
  try {
    for (const init of [['--seal', 'keyfile'], ['--backend', 'tpm', '--anchor', 'none', '--tpm-device', tpm.device]]) instances.push(await makeInstance(directory, signal, { init }));
    const startsMs = instances.map((): number[] => []);
    for (let run = 0; run < STARTS; run++) {
      for (const [i, instance] of instances.entries()) {
        const service = await startServiceUnderTest({ signal, log: { instance, durability: 'disk' } });
        startsMs[i]?.push(service.startedInMs);
        await service.stop();
      }
    }
    // The first compiles.
    const [keyfileStartMs = NaN, tpmStartMs = NaN] = startsMs.map((runs) => median(runs.slice(1)));
    progress(`hardware  a start takes ${Math.round(keyfileStartMs)} ms, ${Math.round(tpmStartMs)} ms with the TPM`);
    return { keyfileStartMs, tpmStartMs };
  } finally {
    for (const { remove } of instances) remove();
    await tpm.drop();
  }
}

/** In turn: what the machine does meanwhile is in both. */
async function measureCloud({ directory, signal, progress }: HardwareOptions): Promise<Pick<HardwareFigures, 'cloudAloneMs' | 'cloudUnwrapMs'>> {
  const vault = await startVault(VAULT_KEY);
  const stops: (() => unknown)[] = [vault.end];
  try {
    const env = { BENCH_VAULT_TOKEN: VAULT_TOKEN };
    const instance = await makeInstance(directory, signal, { init: ['--backend', 'cloud', '--cloud-provider', 'vault-transit', '--cloud-key', VAULT_KEY, '--cloud-endpoint', vault.url, '--cloud-token-env', 'BENCH_VAULT_TOKEN'], env });
    stops.push(instance.remove);
    const service = await startServiceUnderTest({ signal, env, log: { instance, durability: 'disk' } });
    stops.push(service.stop);
    const world = createWorld(service);
    const { wrapped_b64: wrapped } = await world.call('POST', '/wrap', { kid: await world.key('aes-256-gcm'), size: 32 }) as { wrapped_b64: string };
    const associated = Buffer.from('bench').toString('base64');
    const { data: { ciphertext } } = await post(`${vault.url}/v1/transit/encrypt/${VAULT_KEY}`, { plaintext: Buffer.alloc(48).toString('base64'), associated_data: associated }) as { data: { ciphertext: string } };
    const [alone, unwraps]: [number[], number[]] = [[], []];
    for (let i = 0; i < UNWRAPS; i++) {
      alone.push(await took(() => post(`${vault.url}/v1/transit/decrypt/${VAULT_KEY}`, { ciphertext, associated_data: associated })));
      unwraps.push(await took(() => world.call('POST', '/unwrap', { wrapped_b64: wrapped })));
    }
    const [cloudAloneMs, cloudUnwrapMs] = [median(alone), median(unwraps)];
    progress(`hardware  a key service takes ${cloudAloneMs.toFixed(2)} ms, an unwrap by it ${cloudUnwrapMs.toFixed(2)} ms`);
    return { cloudAloneMs, cloudUnwrapMs };
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function post(url: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request(url, { method: 'POST', headers: { 'content-type': 'application/json', 'x-vault-token': VAULT_TOKEN } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => { text += piece; }).on('end', () => resolve(JSON.parse(text)));
    }).on('error', reject).end(JSON.stringify(body));
  });
}
