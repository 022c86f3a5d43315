import type { AddressInfo } from 'node:net';
import type { LogLines } from '../adapters/telemetry/log-lines.ts';
import type { Config } from '../config/load.ts';
import type { Address } from '../config/kinds.ts';
import type { Log } from '../adapters/audit-log/log.ts';
import type { Secret } from '../core/secret.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Anchoring } from '../service/anchoring.ts';
import type { LogKeyKeeping } from '../service/log-keeping.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Condition } from '../http/operator-server.ts';
import { once } from 'node:events';
import { lock } from '../adapters/auth-keyset/keyset.ts';
import { createKemPrimitives } from '../adapters/crypto/kems.ts';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { createInmemCustody } from '../adapters/custody-inmem/custody.ts';
import { createBuiltinPolicy } from '../adapters/policy-builtin/policy.ts';
import { createInmemStore } from '../adapters/store-inmem/store.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { protectMemory, weaknessesOf } from '../adapters/system/process-guard.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { createMetrics } from '../adapters/telemetry/metrics.ts';
import { createTelemetry } from '../adapters/telemetry/telemetry.ts';
import { isLoopback, weaknessesOfConfig } from '../config/check.ts';
import { KmsError } from '../core/errors.ts';
import { deriveMacaroonKey } from '../core/macaroon/chain.ts';
import { aeads } from '../core/algorithm/table.ts';
import { createHttpServer } from '../http/server.ts';
import { createOperatorServer } from '../http/operator-server.ts';
import { makeAuthenticate } from '../service/authenticate.ts';
import { createClockGuard } from '../service/clock-guard.ts';
import { createOperations } from '../service/operations.ts';
import { makeLogKeyKeeping } from '../service/log-keeping.ts';
import { checkGeneration, settleIntents } from '../service/settle.ts';
import { mintDemoToken } from './demo-token.ts';
import { openAnchoring, openAudit } from './audit.ts';
import { openAuth } from './auth.ts';
import { checkBehind } from './check-behind.ts';

export interface ServiceDeps {
  readonly config: Config;
  readonly log: LogLines;
  readonly version: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
}

export interface RunningService {
  readonly apiUrl: string;
  readonly metricsUrl: string;
  /** For tenant `demo`, when the service made its own key set. */
  readonly demoToken: string | undefined;
  /** What works, but weaker than it should. */
  readonly degraded: readonly string[];
  /** What a verifier of the log pins, when it takes them from here: origin and verifier keys. */
  readonly log: { readonly origin: string; readonly vkeys: readonly string[] };
  stop(): Promise<void>;
}

/** Jobs in libuv's pool at once: one for each of its four threads, and one each that waits, so that no thread waits for the event loop. */
const POOL_WIDTH = 8;
const PUBLIC_KEYS_CACHED = 512;
const TICK_MS = 1000;
const DRAIN_MS = 3000;

/** Wires a service from its settings and opens its two listeners. Throws before anything listens when it cannot. */
export async function startService({ config, log: logLines, version, environment, credentialsDirectory }: ServiceDeps): Promise<RunningService> {
  const { settings } = config;
  const clock = systemClock;
  const random = createSystemRandom();
  const memory = createLockedMemory();
  const protection = protectMemory(memory);

  const ownRoot = canMakeKeyset(config) ? mintDemoToken(random, clock) : undefined;
  const ownKeyset = ownRoot && new Map([[ownRoot.rootKeyId, ownMacaroonKey(ownRoot.secret, memory)]]);
  const auth = openAuth({ config, clock, memory, credentialsDirectory, ownKeyset });

  const publicKeyCache = createPublicKeyCache(PUBLIC_KEYS_CACHED);
  const primitives = {
    signatures: createSignaturePrimitives({ memory, gate: createPoolGate(POOL_WIDTH), publicKeys: publicKeyCache }),
    kems: createKemPrimitives(publicKeyCache),
  };
  const opened = await openAudit({ config, clock, random, memory, signatures: primitives.signatures, environment, credentialsDirectory });
  const { log, signer, audit } = opened;
  const store = createInmemStore({ firstGeneration: log.lastGeneration() });
  const custody = createInmemCustody({ primitives, memory });
  const clockGuard = createClockGuard({ clock, audit, toleranceMs: settings['security.time_skew_tolerance_ms'] });
  const metrics = createMetrics({
    ...opened.metrics,
    queue_depth: { help: 'Operations in flight.', label: 'queue', read: () => ({ ...operations.queueDepths(), audit: log.waiting() }) },
  });
  const telemetry = createTelemetry({ metrics, log: logLines, redactLevel: settings['observability.redact_level'] });
  const anchoring = openAnchoring(opened, { config, clock, random }, telemetry);
  const logKeys = makeLogKeyKeeping({
    signer, audit, reader: log, keyRotationMs: settings['audit.key_rotation'],
    clocks: { clock, guard: clockGuard }, report: { telemetry, random },
  });
  const integrity = watchIntegrity(log, () => anchoring?.mismatch(), telemetry);
  const operations = createOperations(
    {
      custody: { custody, publicKeys: createPublicKeys(primitives) }, store, audit, telemetry,
      log: { reader: log, ...(anchoring && { anchoring }), keys: logKeys },
      policy: createBuiltinPolicy({
        stage: { produceHybrid: settings['pq.produce_hybrid'], verifyMode: settings['pq.verify_mode'], rolloutPercent: settings['pq.rollout_percent'] },
        tenants: config.tenants,
      }),
      system: { clock, random, clockGuard },
    },
    {
      rules: { allowed: new Set<string>([...settings['service.allowed_algs'], ...settings['service.allowed_aeads']]), attestRequire: settings['security.attest_require'], evidenceClasses: new Set() },
      kemAead: Object.values(aeads).find(({ wireAlg }) => wireAlg === settings['service.allowed_aeads'][0]) ?? aeads['ChaCha20-Poly1305'],
      signPerSecond: settings['security.sign_rate_limit_rps'],
      inFlightMax: { signing: settings['security.max_inflight_sign'], verifying: settings['security.max_inflight_verify'] },
      destroyMinAfterMs: settings['keys.destroy_min_after'],
    },
  );

  const api = createHttpServer({
    operations, telemetry, random, version: version['version'] ?? '',
    authenticate: makeAuthenticate({ capabilities: auth.capabilities, clock, audit, limits: { maxTokenLifetimeMs: settings['auth.max_token_lifetime'], timeSkewToleranceMs: settings['security.time_skew_tolerance_ms'] } }),
    limits: {
      bodyMaxBytes: settings['limits.max_body_bytes'], readTimeoutMs: settings['read_timeout'], idleTimeoutMs: settings['idle_timeout'],
      connectionsMax: settings['max_conns'], connectionsPerPeerMax: settings['max_conns_per_peer'],
    },
  });

  const degraded = [...weaknessesOf(protection), ...weaknessesOfConfig(config)];
  let isRngHealthy = random.isHealthy();
  const conditions = (): readonly Condition[] => [
    { name: 'config_loaded', isMet: true },
    { name: 'listener_bound', isMet: api.server.listening },
    { name: 'backend_ready', isMet: custody.isReady() && store.isReady() },
    { name: 'attestation_ready', isMet: settings['security.attest_require'] !== 'required', missing: 'security.attest_require is required, and this custody gives no evidence' },
    { name: 'audit_ready', isMet: log.isReady() && (anchoring?.isReachable() ?? true), missing: log.integrityFault() ?? anchoring?.mismatch() ?? (log.isReady() ? 'the anchor cannot be reached' : 'entries cannot be written') },
    { name: 'checkpoint_recent', isMet: log.isCheckpointRecent() },
    { name: 'rng_ok', isMet: isRngHealthy },
    { name: 'clock_ok', isMet: clockGuard.isTrusted() },
    { name: 'auth_ready', isMet: auth.capabilities.isReady(), missing: auth.missing },
  ];
  const operator = createOperatorServer({ conditions, degraded: () => degraded, metrics: metrics.render, version });

  await settleLog({ log, logKeys, anchoring, audit, store });
  integrity();

  const apiUrl = await listen(settings['bind_addr'], ({ host, port }) => api.listen({ host, port }).then(() => api.server.address()));
  const metricsUrl = await listen(settings['metrics_addr'], async ({ host, port }) => {
    operator.listen(port, host);
    await once(operator, 'listening');
    return operator.address();
  }).catch(async (fault: unknown) => {
    await api.close();
    throw fault;
  });

  const ticks = tickEvery(TICK_MS, telemetry, async () => {
    clockGuard.check();
    isRngHealthy = random.isHealthy();
    await auth.refresh();
    await anchoring?.tick();
    await logKeys.tick();
    integrity();
    await operations.housekeeping();
  });

  const fullCheck = new AbortController();
  if (opened.directory !== undefined && log.integrityFault() === undefined) {
    checkBehind({ directory: opened.directory, vkeys: signer.keys().map(({ vkey }) => vkey), signal: fullCheck.signal, log, telemetry });
  }

  telemetry.event('info', 'started', { api: apiUrl, metrics: metricsUrl, profile: config.profile ?? 'none' });
  for (const weakness of degraded) telemetry.event('warn', 'degraded', { what: weakness });

  return {
    apiUrl, metricsUrl, degraded, demoToken: ownRoot?.token,
    log: { origin: log.origin, vkeys: signer.keys().map(({ vkey }) => vkey) },
    async stop() {
      fullCheck.abort();
      await ticks.stop();
      const cutOff = setTimeout(() => api.server.closeAllConnections(), DRAIN_MS);
      await api.close();
      clearTimeout(cutOff);
      operator.close();
      operator.closeAllConnections();
      await operations.close();
      await log.stop().catch((fault: unknown) => telemetry.event('error', 'last_checkpoint_failed', { code: KmsError.from(fault).code }));
      telemetry.event('info', 'stopped');
    },
  };
}

interface SettleDeps {
  readonly log: Log;
  readonly logKeys: LogKeyKeeping;
  readonly anchoring: Anchoring | undefined;
  readonly audit: AuditLog;
  readonly store: KeyStore;
}

/** In the order in which one needs the other: keys that sign, outcomes of what a crash left, the anchor over both. */
async function settleLog({ log, logKeys, anchoring, audit, store }: SettleDeps): Promise<void> {
  if (log.integrityFault() !== undefined) return;
  await logKeys.start();
  const openIntents = log.openIntents();
  const done = checkGeneration(log.lastGeneration(), store.generation(), openIntents.length);
  if (done === undefined) log.failIntegrity(`store: its generation is ${store.generation()}, and the log's last one ${log.lastGeneration()}`);
  else await settleIntents({ audit, store }, openIntents, done);
  await anchoring?.start();
}

/** Runs the work again and again, one after the other; the one that runs is waited for at the stop. */
function tickEvery(everyMs: number, telemetry: Telemetry, work: () => Promise<void>): { stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(work).catch(() => telemetry.event('error', 'tick_failed'));
  }, everyMs);
  return {
    stop() {
      clearInterval(timer);
      return running;
    },
  };
}

/** Says once, as an alarm, when the log was found to be at odds with itself, the store or the anchor. */
function watchIntegrity(log: Log, mismatch: () => string | undefined, telemetry: Telemetry): () => void {
  let isTold = false;
  return () => {
    const disagreement = mismatch();
    if (disagreement !== undefined) log.failIntegrity(disagreement);
    const what = log.integrityFault();
    if (what === undefined || isTold) return;
    isTold = true;
    telemetry.event('error', 'audit_integrity_failed', { what });
  };
}

function ownMacaroonKey(secret: Buffer, memory: LockedMemory): Secret {
  const key = lock(deriveMacaroonKey(secret), memory);
  secret.fill(0);
  return key;
}

/** Only an amnesiac service on loopback, to which nobody lends keys, may make its own. */
function canMakeKeyset({ profile, settings }: Config): boolean {
  return profile === 'micronode' && isLoopback(settings['bind_addr'].host) && settings['auth.mode'] === 'keyset'
    && settings['auth.keyset_path'] === undefined && settings['auth.keyset_fd'] === undefined;
}

async function listen(address: Address, open: (address: Address) => Promise<AddressInfo | string | null>): Promise<string> {
  const bound = await open(address);
  if (bound === null || typeof bound === 'string') throw new Error('bound to no port');
  return `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${bound.port}`;
}
