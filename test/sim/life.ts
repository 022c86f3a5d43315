import type { Route } from '../../src/http/routes.ts';
import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { Anchor } from '../../src/ports/anchor.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import type { KeyStore } from '../../src/ports/key-store.ts';
import type { PublicKeys } from '../../src/ports/public-keys.ts';
import type { Random } from '../../src/ports/random.ts';
import type { Telemetry } from '../../src/ports/telemetry.ts';
import type { OperationsConfig } from '../../src/service/operations.ts';
import type { Keyset } from '../../src/adapters/auth-keyset/keyset.ts';
import type { Disk } from './disk.ts';
import type { SimulatedLogKeys } from './log-keys.ts';
import { createKeysetCapabilities } from '../../src/adapters/auth-keyset/capabilities.ts';
import { noRevocations } from '../../src/adapters/auth-keyset/revocations.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { createBuiltinPolicy } from '../../src/adapters/policy-builtin/policy.ts';
import { noTracing } from '../../src/adapters/tracing/no-tracing.ts';
import { settleLog } from '../../src/compose/settle-log.ts';
import { KmsError } from '../../src/core/errors.ts';
import { makeRoutes } from '../../src/http/routes.ts';
import { createAnchoring, lookAtAnchor } from '../../src/service/anchoring.ts';
import { makeAuthenticate } from '../../src/service/authenticate.ts';
import { createClockGuard } from '../../src/service/clock-guard.ts';
import { guardCustody } from '../../src/service/custody-guard.ts';
import { createIntegrity } from '../../src/service/integrity.ts';
import { makeLogKeyKeeping } from '../../src/service/log-keeping.ts';
import { createOperations } from '../../src/service/operations.ts';
import { KEY_ROTATION_MS } from './log-keys.ts';

const DIRECTORY = '/log';
const TICK_MS = 1000;
const YEARS_MS = 100 * 365 * 86_400_000;

export interface LifeDeps {
  readonly pid: number;
  readonly disk: Disk;
  readonly store: KeyStore;
  readonly custody: Custody;
  readonly publicKeys: PublicKeys;
  readonly anchor: Anchor;
  readonly logKeys: SimulatedLogKeys;
  readonly keyset: Keyset;
  readonly clock: Clock;
  readonly random: Random;
  readonly durability: 'disk' | 'os';
  readonly plant: string | undefined;
  /** What a reload swaps. */
  readonly settings: { readonly config: () => OperationsConfig; readonly reload: () => void };
  readonly tell: (event: string, fields?: object) => void;
}

/** One process of the service: all of it but its listeners, wired as `compose/service` does it. */
export interface RunningLife {
  readonly log: Log;
  readonly store: KeyStore;
  /** A request as it comes off the wire, behind its parsing; the answer or a refusal. */
  call(token: string, method: string, path: string, input: Input): Promise<object | string>;
  /** What the log, the store or the anchor is at odds about. */
  fault(): string | undefined;
  isDoubted(): boolean;
  stop(): Promise<void>;
}

export interface Input {
  readonly body?: object;
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: object;
}

/** Throws when it cannot start: what the disk does just now may be the reason. */
export async function startLife({ pid, disk, custody: backend, publicKeys, logKeys, keyset, clock, random, durability, settings, tell, plant, ...deps }: LifeDeps): Promise<RunningLife> {
  const store = plantedStore(deps.store, plant, clock);
  const anchor = plant === 'ignores-anchor' ? undefined : deps.anchor;
  const telemetry: Telemetry = {
    operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined,
    event: (_level, event, fields) => tell(event, fields),
  };
  const storage = await openFileStorage(DIRECTORY, { files: disk.files, processes: { ownPid: pid, lifeOf: (of) => (of === pid ? 'alive' : undefined) } });
  const signer = plantedSigner(await logKeys.open(disk.files), plant);
  let anchorFault: string | undefined;
  const log = await openLog({
    storage, signer, clock, random, options: { durability, checkpointEveryOps: 150, sealBytes: 60_000 },
    async mayBegin(found) {
      const newest = found.anchorProof();
      if (newest !== undefined && anchor !== undefined) anchorFault = await lookAtAnchor(anchor, found.lastAnchorValue(), newest);
      return anchorFault === undefined;
    },
  });
  const clockGuard = createClockGuard({ clock, audit: log, toleranceMs: () => 2000, isKeptRight: () => true });
  const custody = guardCustody({ custody: backend, clock, chance: random.chance, telemetry });
  const integrity = createIntegrity({ log, telemetry });
  if (anchorFault !== undefined) integrity.fail('anchor', anchorFault);
  const anchoring = anchor && createAnchoring({ anchor, log: { ...log, headProof: () => headProof(log) }, clock, random, telemetry, integrity, intervalMs: 3_600_000 });
  const audit = plantedLog(log, plant);
  const keys = makeLogKeyKeeping({
    signer, audit, reader: log, changeKeys: log.changeKeys, keyRotationMs: KEY_ROTATION_MS, clocks: { clock, guard: clockGuard }, report: { telemetry, random },
  });
  const operations = createOperations({
    custody: { custody, publicKeys, evidence: { forSigning: async () => undefined } }, store, audit, telemetry, tracing: noTracing,
    log: { reader: log, head: unavailable, ...(anchoring && { anchoring }), keys, integrity },
    policy: createBuiltinPolicy(() => ({ stage: { produceHybrid: true, verifyMode: 'or', rolloutPercent: 100 }, attestRequire: 'if-available', tenants: new Map() })),
    settings: { look: () => ({ version: '', changes: [], apply: settings.reload }) },
    system: { clock, random, clockGuard },
  }, settings.config);
  const authenticate = makeAuthenticate({
    capabilities: createKeysetCapabilities({ keyset: { value: () => keyset, isCurrent: () => true }, revocations: { value: () => noRevocations, isCurrent: () => true } }),
    clock, audit: log, limits: () => ({ maxTokenLifetimeMs: YEARS_MS, timeSkewToleranceMs: 2000 }),
  });
  const routes = new Map<string, Route>(makeRoutes(operations).map((route) => [`${route.method} ${route.path}`, route]));
  await settleLog({ log, anchoring, store, integrity });

  let ticking: Promise<void> = Promise.resolve();
  const ticks = setInterval(() => {
    ticking = ticking.then(async () => {
      clockGuard.check();
      await custody.tick();
      await anchoring?.tick();
      await keys.tick();
      await operations.housekeeping();
    });
  }, TICK_MS);

  return {
    log, store,
    async call(token, method, path, { body = {}, params = {}, query = {} }) {
      const route = routes.get(`${method} ${path}`);
      if (route === undefined) throw new Error(`there is no ${method} ${path}`);
      const id = random.uuidv7();
      const caller = await authenticate(token, { peer: '127.0.0.1', via: 'tcp', certificateSha256: undefined, corrId: id, requestId: id, traceParent: undefined });
      return route.handle(caller, { body, params, query });
    },
    fault: () => (['log', 'anchor', 'store'] as const).map((of) => integrity.faultOf(of)).find((one) => one !== undefined),
    isDoubted: () => !clockGuard.isTrusted(),
    async stop() {
      clearInterval(ticks);
      await ticking;
      await operations.close();
      await log.stop();
    },
  };
}

/** A log that loses the entries of signatures, or of its own keys, and says that it has them. */
function plantedLog(log: Log, plant: string | undefined): Log {
  const lost = { 'skips-entries': 'sign', 'hides-log-keys': 'log-keys' }[plant ?? ''];
  if (lost === undefined) return log;
  return { ...log, append: async (events, how) => (events[0]?.op === lost && events[0].result === 'ok' ? { firstIndex: log.size() } : log.append(events, how)) };
}

/** Keys that do not know at the start of a process what the one before had prepared. */
function plantedSigner(signer: LogSigner, plant: string | undefined): LogSigner {
  return plant === 'forgets-prepared-keys' ? { ...signer, prepared: () => undefined } : signer;
}

/** A store that knows no `op_id` again; one that gives out what it has read in the last minute. */
function plantedStore(store: KeyStore, plant: string | undefined, clock: Clock): KeyStore {
  if (plant === 'forgets-op-ids') return { ...store, findOperation: async () => undefined };
  if (plant !== 'reads-stale-keys') return store;
  const read = new Map<string, { readonly key: ReturnType<KeyStore['find']>; readonly atNs: bigint }>();
  return {
    ...store,
    async find(base) {
      const known = read.get(base);
      if (known !== undefined && clock.monotonicNs() - known.atNs < 60_000_000_000n) return known.key;
      const key = store.find(base);
      read.set(base, { key, atNs: clock.monotonicNs() });
      return key;
    },
  };
}

function headProof(log: Log) {
  const proof = log.anchorProof();
  if (proof === undefined) throw new KmsError('AuditUnavailable');
  return proof;
}

async function unavailable(): Promise<never> {
  throw new KmsError('Unsupported');
}
