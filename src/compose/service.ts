import type { LogLines } from '../adapters/telemetry/log-lines.ts';
import type { Config } from '../config/load.ts';
import type { Secret } from '../core/secret.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Listeners } from './listeners.ts';
import type { PassphraseTerminal } from './device-sources.ts';
import type { TokenLimits } from '../service/authenticate.ts';
import type { OperationsConfig } from '../service/operations.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import { lock } from '../adapters/auth-keyset/keyset.ts';
import { createKemPrimitives } from '../adapters/crypto/kems.ts';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { isKernelClockSynchronised } from '../adapters/system/kernel-clock.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { lowerPoolPriority } from '../adapters/system/pool-priority.ts';
import { protectMemory, weaknessesOf } from '../adapters/system/process-guard.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { createMetrics } from '../adapters/telemetry/metrics.ts';
import { createTelemetry } from '../adapters/telemetry/telemetry.ts';
import { traced } from '../adapters/tracing/traced.ts';
import { isLoopback, weaknessesOfConfig } from '../config/check.ts';
import { KmsError } from '../core/errors.ts';
import { deriveMacaroonKey } from '../core/macaroon/chain.ts';
import { aeads } from '../core/algorithm/table.ts';
import { createHttpServer } from '../http/server.ts';
import { createOperatorServer } from '../http/operator-server.ts';
import { makeAuthenticate } from '../service/authenticate.ts';
import { createClockGuard } from '../service/clock-guard.ts';
import { guardCustody } from '../service/custody-guard.ts';
import { createIntegrity } from '../service/integrity.ts';
import { createOperations } from '../service/operations.ts';
import { makeLogKeyKeeping } from '../service/log-keeping.ts';
import { mintDemoToken } from './demo-token.ts';
import { openAnchoring } from './anchor.ts';
import { openAudit } from './audit.ts';
import { openAuth } from './auth.ts';
import { openBackend } from './backend.ts';
import { backedUpHead, openBackups, tryBackupOpener } from './backups.ts';
import { checkBehind } from './check-behind.ts';
import { openInstance } from './open-instance.ts';
import { openPolicy } from './policy.ts';
import { makeGauges } from './gauges.ts';
import { openEvidence } from './evidence.ts';
import { openListeners } from './listeners.ts';
import { createDevices } from './devices.ts';
import { createLiveConfig } from './live-config.ts';
import { makeReadiness } from './readiness.ts';
import { makeRootKeyMove } from './root-key-move.ts';
import { settleLog } from './settle-log.ts';
import { openTls } from './tls.ts';
import { openTracing } from './tracing.ts';

export interface ServiceDeps {
  readonly config: Config;
  /** Loads it anew from where it came from; throws `ConfigError`. */
  readonly reread: () => Config;
  readonly log: LogLines;
  readonly version: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
  /** Who may be asked for the passphrase of the root key. */
  readonly terminal?: PassphraseTerminal;
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
  /** The settings are taken anew, or it is told why not. Never throws. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Jobs in libuv's pool at once, at most: as many as run in a rush. Otherwise the queues before it let in fewer (service/operations.ts). */
const POOL_WIDTH = 32;
const PUBLIC_KEYS_CACHED = 512;
const TICK_MS = 1000;

/** Wires a service from its settings and opens its two listeners. Throws before anything listens when it cannot. */
export async function startService({ config, reread, log: logLines, version, environment, credentialsDirectory, terminal }: ServiceDeps): Promise<RunningService> {
  const { settings } = config;
  const live = createLiveConfig(config, reread);
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
  const tls = openTls(settings, clock);
  tryBackupOpener({ settings, environment, memory });
  const devices = createDevices({ settings, environment, ...(terminal && { terminal }) });
  const instance = settings['service.amnesia'] ? undefined : await orElse(devices.close, openInstance({ config, isServing: true, environment, credentialsDirectory, memory, devices, ...(terminal && { terminal }) }));
  const { log, signer, directory, anchor, anchorFault, takeWriteFaults, metrics: logMetrics } = await orElse(devices.close, openAudit({ config, clock, random, memory, signatures: primitives.signatures, instance, devices }));
  const stopLog = async (): Promise<void> => {
    await log.stop().catch(() => undefined);
    await devices.close();
  };
  const backend = await orElse(stopLog, openBackend({ settings, parts: { primitives, memory }, rootKeys: instance?.rootKeys, loggedGeneration: log.lastGeneration(), environment, devices }));
  const { store } = backend;
  const backups = openBackups({ settings, environment, memory, instance, backend, clock });
  const clockGuard = createClockGuard({ clock, audit: log, toleranceMs: () => live.current().settings['security.time_skew_tolerance_ms'], isKeptRight: () => !live.current().settings['security.clock_sync_required'] || isKernelClockSynchronised() === true });
  const metrics = createMetrics({ ...logMetrics, ...makeGauges({ settings, live, store, custody: () => custody, queueDepths: () => ({ ...operations.queueDepths(), audit: log.waiting() }), conditions: () => conditions() }) });
  const tracing = await openTracing({ settings, version: version['version'] ?? '', instance: log.origin, telemetry: () => telemetry });
  const telemetry: Telemetry = createTelemetry({ metrics, log: logLines, backend: settings['service.backend'], redactLevel: () => live.current().settings['observability.redact_level'], tracing });
  const custody = guardCustody({ custody: traced(tracing, 'custody', backend.custody, ['sign', 'sealAead', 'open', 'generate', 'erase']), clock, chance: random.chance, telemetry });
  const integrity = createIntegrity({ log, telemetry });
  if (anchorFault !== undefined) integrity.fail('anchor', anchorFault);
  const anchoring = openAnchoring({ settings, log, anchor, clock, random, telemetry, integrity });
  const logKeys = makeLogKeyKeeping({
    signer, audit: log, reader: log, changeKeys: log.changeKeys, keyRotationMs: settings['audit.key_rotation'],
    clocks: { clock, guard: clockGuard }, report: { telemetry, random },
  });
  const evidence = openEvidence({ live, signer, log, store, clock, random, telemetry });
  const policy = openPolicy({ live, clock, random, telemetry, tracing });
  const operations = createOperations({
    custody: { custody, publicKeys: createPublicKeys(primitives), evidence, ...(backend.width !== undefined && { width: backend.width }) }, store, audit: traced(tracing, 'audit', log, ['append']), telemetry, tracing,
    ...(instance && { rootKeyMove: makeRootKeyMove({ rootKeys: instance.rootKeys, keys: backend.sealed, logKeys }) }),
    ...(backups && { backups }),
    log: { reader: log, head: () => backedUpHead(log), ...(anchoring && { anchoring }), keys: logKeys, integrity },
    policy: traced(tracing, 'policy', policy, ['decide']), settings: live,
    system: { clock, random, clockGuard },
  }, live.derived(operationsConfig));

  const api = createHttpServer({
    ...(tls && { tls: tls.settings }),
    operations, telemetry, version: version['version'] ?? '',
    newId: settings['observability.correlation_id_mode'] === 'uuidv4' ? random.uuidv4 : random.uuidv7,
    isLoggingInputs: () => live.current().settings['observability.log_inputs'],
    authenticate: makeAuthenticate({ capabilities: auth.capabilities, clock, audit: log, limits: live.derived(tokenLimits) }),
    limits: {
      bodyMaxBytes: settings['limits.max_body_bytes'], ratioMax: () => live.current().settings['limits.decompress_ratio_cap'], readTimeoutMs: settings['read_timeout'], writeTimeoutMs: settings['write_timeout'], idleTimeoutMs: settings['idle_timeout'],
      connectionsMax: settings['max_conns'], connectionsPerPeerMax: settings['max_conns_per_peer'],
    },
  });

  const degraded = [...weaknessesOf(protection), ...weaknessesOfConfig(config)];
  let isRngHealthy = random.isHealthy();
  let listeners: Listeners | undefined;
  const conditions = makeReadiness({
    settings: () => live.current().settings, reloadFault: operations.reloadFault, log, anchoring, integrity, clockGuard, auth,
    backend: { custody, store }, evidence, isListening: () => listeners?.isOpen() === true, isRngHealthy: () => isRngHealthy,
  });
  const operator = createOperatorServer({ conditions, degraded: () => [...degraded, ...(tls?.weaknesses() ?? []), ...[backend.outage?.()].filter((one) => one !== undefined), ...(policy.isReachable() ? [] : ['policy.url gives no answer: all but verify and reads is refused until it does'])], metrics: metrics.render, version: () => ({ ...version, config_version: live.version() }) });

  const { apiUrl, metricsUrl, stopIntake, close: closeListeners } = listeners = await orElse<Listeners>(async () => {
    // The store's thread would keep the process.
    await Promise.all([store.close(), backend.close()]);
    await stopLog();
  }, settleLog({ log, anchoring, store, integrity }).then(() => openListeners(settings, api, operator)));

  const ticks = tickEvery(TICK_MS, telemetry, async () => {
    clockGuard.check();
    isRngHealthy = random.isHealthy();
    for (const why of takeWriteFaults()) telemetry.event('error', 'audit_write_failed', { why });
    for (const why of backend.takeWriteFaults()) telemetry.event('error', 'store_write_failed', { why });
    await backend.tick();
    await custody.tick();
    void evidence.tick();
    const found = store.integrity();
    if (found !== undefined) integrity.fail('store', found.what);
    await auth.refresh();
    if (await tls?.refresh(api.app) === true) telemetry.event('info', 'certificate_swapped');
    await anchoring?.tick();
    await logKeys.tick();
    await operations.housekeeping();
  });

  lowerPoolPriority();

  const vkeys = signer.keys().map(({ vkey }) => vkey);
  const fullCheck = new AbortController();
  const checked = checkBehind({
    ...(directory !== undefined && integrity.faultOf('log') === undefined && { log: { directory, vkeys } }),
    store: backend.sealed?.store, signal: fullCheck.signal, integrity, telemetry,
  });

  telemetry.event('info', 'started', { api: apiUrl, metrics: metricsUrl, profile: config.profile ?? 'none' });
  for (const what of config.renamed) telemetry.event('warn', 'setting_renamed', { what });
  for (const weakness of [...degraded, ...(tls?.weaknesses() ?? [])]) telemetry.event('warn', 'degraded', { what: weakness });

  return {
    apiUrl, metricsUrl, degraded: [...degraded, ...(tls?.weaknesses() ?? [])], demoToken: ownRoot?.token,
    log: { origin: log.origin, vkeys },
    reload: operations.reloadByOperator,
    async stop() {
      fullCheck.abort();
      await stopIntake();
      await checked;
      await ticks.stop();
      closeListeners();
      await operations.close();
      await Promise.all([store.close(), backend.close()]);
      await log.stop().catch((fault: unknown) => telemetry.event('error', 'last_checkpoint_failed', { code: KmsError.from(fault).code }));
      await devices.close();
      await tracing.close();
      instance?.rootKeys.destroy();
      telemetry.event('info', 'stopped');
    },
  };
}

/** What comes to nothing leaves nothing open. */
async function orElse<T>(undo: () => Promise<void>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (fault) {
    await undo();
    throw fault;
  }
}

function tokenLimits({ settings }: Config): TokenLimits {
  return { maxTokenLifetimeMs: settings['auth.max_token_lifetime'], timeSkewToleranceMs: settings['security.time_skew_tolerance_ms'] };
}

function operationsConfig({ settings }: Config): OperationsConfig {
  return {
    rules: { allowed: new Set<string>([...settings['service.allowed_algs'], ...settings['service.allowed_aeads']]) },
    kemAead: Object.values(aeads).find(({ wireAlg }) => wireAlg === settings['service.allowed_aeads'][0]) ?? aeads['ChaCha20-Poly1305'],
    signPerSecond: settings['security.sign_rate_limit_rps'],
    inFlightMax: { signing: settings['security.max_inflight_sign'], verifying: settings['security.max_inflight_verify'] },
    destroyMinAfterMs: settings['keys.destroy_min_after'],
    verifyCacheTtlMs: settings['audit.verify_cache_ttl_ms'],
  };
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
