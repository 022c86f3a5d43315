import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { GuardedCustody } from '../../src/service/custody-guard.ts';
import type { ClockGuard } from '../../src/service/clock-guard.ts';
import type { Integrity } from '../../src/service/integrity.ts';
import type { LogKeeping, Operations } from '../../src/service/operations.ts';
import type { BreakableLog, BreakableLogOptions } from './breakable-log.ts';
import type { FastifyInstance } from 'fastify';
import { createKeysetCapabilities } from '../../src/adapters/auth-keyset/capabilities.ts';
import { parseKeyset } from '../../src/adapters/auth-keyset/keyset.ts';
import { noRevocations } from '../../src/adapters/auth-keyset/revocations.ts';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createInmemCustody } from '../../src/adapters/custody-inmem/custody.ts';
import { createBuiltinPolicy } from '../../src/adapters/policy-builtin/policy.ts';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createLogLines } from '../../src/adapters/telemetry/log-lines.ts';
import { createMetrics } from '../../src/adapters/telemetry/metrics.ts';
import { createTelemetry } from '../../src/adapters/telemetry/telemetry.ts';
import { noTracing } from '../../src/adapters/tracing/no-tracing.ts';
import { aeads } from '../../src/core/algorithm/table.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { makeAuthenticate } from '../../src/service/authenticate.ts';
import { createClockGuard } from '../../src/service/clock-guard.ts';
import { guardCustody } from '../../src/service/custody-guard.ts';
import { createIntegrity } from '../../src/service/integrity.ts';
import { createOperations } from '../../src/service/operations.ts';
import { openBreakableLog } from './breakable-log.ts';
import { ROOT_KEY_ID, ROOT_SECRET, keysetText } from './service.ts';

/** Tokens of it are taken as well. */
export const OTHER_ROOT = { id: 'other', secret: Buffer.alloc(32, 5) };

/** The service wired in this process, so that a test can look at its log, its audit entries and its primitives. */
export interface Wired {
  readonly api: FastifyInstance;
  readonly apiUrl: string;
  readonly audit: BreakableLog;
  readonly integrity: Integrity;
  readonly operations: Operations;
  readonly custody: GuardedCustody;
  /** The wall clock is the system's, and what it is stepped by. */
  readonly clock: { readonly guard: ClockGuard; step(ms: number): void };
  log(): string;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

function fixed<T>(value: T): { value: () => T; isCurrent: () => boolean } {
  return { value: () => value, isCurrent: () => true };
}

/** Says what it was asked for: the keys of the log have tests of their own. */
const rotateNothing: LogKeeping['keys']['rotate'] = async ({ opId }, { isCompromised }) =>
  ({ keys: [isCompromised ? 'compromised' : 'command'], until: isCompromised ? '2026-01-01T00:00:00.000Z' : undefined, audit: { index: 0, opId } });

export interface WiredOptions extends Omit<BreakableLogOptions, 'clock'> {
  /** May put something around the primitives, to see what passes through them. */
  readonly watch?: (primitives: Primitives) => Primitives;
  /** Who holds the keys, instead of this process. */
  readonly custody?: Custody;
  readonly verifyCacheTtlMs?: number;
}

export async function startWired({ watch = (primitives) => primitives, custody: outside, verifyCacheTtlMs = 300_000, ...logOptions }: WiredOptions = {}): Promise<Wired> {
  let steppedMs = 0;
  const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + steppedMs };
  const random = createSystemRandom();
  const memory = createLockedMemory();
  let log = '';
  const cache = createPublicKeyCache(64);
  const primitives = watch({ signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) });
  const audit = await openBreakableLog({ clock, ...logOptions });
  const guard = createClockGuard({ clock, audit, toleranceMs: () => 2000, isKeptRight: () => true });
  const metrics = createMetrics({});
  const telemetry = createTelemetry({ metrics, log: createLogLines({ write: (line) => { log += line; } }), backend: 'inmem', redactLevel: () => 'none', tracing: noTracing });
  const integrity = createIntegrity({ log: audit, telemetry });
  const keyset = parseKeyset(Buffer.from(keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }, OTHER_ROOT])), memory);
  const custody = guardCustody({ custody: outside ?? createInmemCustody({ primitives, memory }), clock, chance: random.chance, telemetry });
  const operations = createOperations({
    custody: { custody, publicKeys: createPublicKeys(primitives), evidence: { forSigning: async () => undefined } },
    store: createInmemStore(), audit, telemetry, tracing: noTracing,
    log: { reader: audit, head: () => Promise.reject(new Error('no backups here')), keys: { rotate: rotateNothing }, integrity },
    policy: createBuiltinPolicy(() => ({ stage: { produceHybrid: true, verifyMode: 'or', rolloutPercent: 100 }, attestRequire: 'if-available', tenants: new Map() })),
    settings: { look: () => ({ refused: 'nothing to take' }) },
    system: { clock, random, clockGuard: guard },
  }, () => ({
    rules: { allowed: new Set(['ed25519', 'ml-dsa', 'x25519', 'ml-kem', 'aes-256-gcm', 'chacha20-poly1305']) },
    kemAead: aeads['ChaCha20-Poly1305'], signPerSecond: 0, inFlightMax: { signing: 512, verifying: 1024 }, destroyMinAfterMs: 1000, verifyCacheTtlMs,
  }));
  const { app: api } = createHttpServer({
    operations, telemetry, newId: random.uuidv7, isLoggingInputs: () => false, version: 'test',
    authenticate: makeAuthenticate({
      capabilities: createKeysetCapabilities({ keyset: fixed(keyset), revocations: fixed(noRevocations) }), clock, audit,
      limits: () => ({ maxTokenLifetimeMs: 86_400_000, timeSkewToleranceMs: 2000 }),
    }),
    limits: { bodyMaxBytes: 1 << 20, ratioMax: () => 10, readTimeoutMs: 5000, writeTimeoutMs: 5000, idleTimeoutMs: 5000, connectionsMax: 64, connectionsPerPeerMax: 64 },
  });
  const apiUrl = await api.listen({ host: '127.0.0.1', port: 0 });
  return {
    api, apiUrl, audit, integrity, operations, custody,
    clock: { guard, step: (ms) => { steppedMs = ms; } },
    log: () => log,
    metrics: async () => (await metrics.render()).text,
    async stop() {
      await api.close();
      await operations.close();
      await audit.stop();
    },
  };
}
