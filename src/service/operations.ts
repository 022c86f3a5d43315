import type { Aead } from '../core/algorithm/table.ts';
import type { Op } from '../core/log/entry.ts';
import type { Payload } from '../core/payload.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { AuditReader } from '../ports/audit-reader.ts';
import type { BackedUpHead, Backups } from '../ports/backups.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Policy } from '../ports/policy.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import type { Random } from '../ports/random.ts';
import type { RootKeyMove } from '../ports/resealing.ts';
import type { SettingsSource } from '../ports/settings.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Tracing } from '../ports/tracing.ts';
import type { Anchoring } from './anchoring.ts';
import type { Caller } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { Evidence } from './evidence.ts';
import type { GuardedCustody } from './custody-guard.ts';
import type { Integrity } from './integrity.ts';
import type { KeyRulesConfig } from './key-rules.ts';
import type { LogKeyKeeping } from './log-keeping.ts';
import type { Stranger } from './refusals.ts';
import { blake3Hex } from '../core/digest.ts';
import { KmsError } from '../core/errors.ts';
import { messageOf } from '../core/payload.ts';
import { makeAcceptClock } from './accept-clock.ts';
import { makeBackup } from './backup.ts';
import { makeAuthorise } from './authorise.ts';
import { makeChangeKey } from './change-key.ts';
import { makeCreateKey } from './create-key.ts';
import { makeDecide } from './decide.ts';
import { makeHousekeeping } from './housekeeping.ts';
import { createInFlight } from './in-flight.ts';
import { makeKeyDocuments } from './key-document.ts';
import { makeKeyRules } from './key-rules.ts';
import { makeMakeVersion } from './make-version.ts';
import { hashOfBody, makeMutate } from './mutate.ts';
import { makePerform } from './perform.ts';
import { createOutcomes } from './outcomes.ts';
import { createRateLimits } from './rate-limits.ts';
import { makeGetKey, makeListKeys } from './read-keys.ts';
import { makeReadLog } from './read-log.ts';
import { makeReadReceipt } from './read-receipt.ts';
import { makeReadRecords } from './read-records.ts';
import { makeReadToken } from './read-token.ts';
import { makeOwnChanges } from './own-changes.ts';
import { createRefusals, noInput, refusedCallOf } from './refusals.ts';
import { makeRekey } from './rekey.ts';
import { makeReload } from './reload.ts';
import { makeRenewSpent } from './renew-spent.ts';
import { makeReserveNonces } from './reserve-nonces.ts';
import { makeSealer } from './sealer.ts';
import { makeSign } from './sign.ts';
import { makeRewrap, makeUnwrap } from './unwrap.ts';
import { makeRecordVerify, makeVerify } from './verify.ts';
import { makeTenantQuotas } from './tenant-quotas.ts';
import { createWorkQueue } from './work-queue.ts';
import { makeWrap } from './wrap.ts';

/** What the world outside gives the services. */
export interface World {
  readonly custody: { readonly custody: GuardedCustody; readonly publicKeys: PublicKeys; readonly evidence: Pick<Evidence, 'forSigning'>; /** How many calls it takes at once, where it is not this process's threads that do them. */ readonly width?: number };
  readonly store: KeyStore;
  /** Left out where no root key is. */
  readonly rootKeyMove?: RootKeyMove;
  /** Left out where none can be made. */
  readonly backups?: Backups;
  readonly audit: AuditLog;
  readonly log: LogKeeping;
  readonly policy: Policy;
  readonly settings: SettingsSource;
  readonly telemetry: Telemetry;
  readonly tracing: Tracing;
  readonly system: { readonly clock: Clock; readonly random: Random; readonly clockGuard: ClockGuard };
}

/** What a change of the log's keys gives. */
export type LogKeysAnswer = Awaited<ReturnType<LogKeyKeeping['rotate']>>;

/** What there is of the log besides writing it. */
export interface LogKeeping {
  readonly reader: AuditReader;
  /** A checkpoint over all entries there are, flushed. */
  readonly head: () => Promise<BackedUpHead>;
  /** Left out where nothing anchors the log. */
  readonly anchoring?: Pick<Anchoring, 'afterMutation' | 'isReachable'>;
  readonly keys: Pick<LogKeyKeeping, 'rotate'>;
  readonly integrity: Integrity;
}

/** What a reload may change, as it stands. */
export interface OperationsConfig {
  readonly rules: KeyRulesConfig;
  readonly kemAead: Aead;
  readonly signPerSecond: number;
  readonly inFlightMax: { readonly signing: number; readonly verifying: number };
  readonly destroyMinAfterMs: number;
  readonly verifyCacheTtlMs: number;
}

/**
 * Of each kind: one for each of the pool's four threads, and one each that waits, so that no thread waits for the event loop and
 * file flushes, which share the pool, not behind many signatures. What waits waits where tenants take turns.
 */
const WORK_WIDTH = 8;
/** One for each thread, and one that waits: the event loop comes by often enough (adapters/system/pool-priority.ts). */
const RUSH_WIDTH = 5;
/** `GET /audit/records` may read a good deal each. */
const RECORD_SCANS_MAX = 16;

export type Operations = ReturnType<typeof createOperations>;

/** The services, tied together: each operation with no more than it needs, every client's call through `perform`. */
export function createOperations({ custody: { custody, publicKeys, evidence, width: custodyWidth }, store, rootKeyMove, backups, audit, log, policy, settings, telemetry, tracing, system }: World, config: () => OperationsConfig) {
  const { clock, random, clockGuard } = system;
  const rates = createRateLimits({ clock, signPerSecond: () => config().signPerSecond });
  const signing = createWorkQueue({ width: custodyWidth ?? WORK_WIDTH, rushWidth: custodyWidth ?? RUSH_WIDTH, max: () => config().inFlightMax.signing, full: { hint: 'security.max_inflight_sign was reached, and few may wait until the rush is over', queue: 'sign' }, clock });
  const verifying = createWorkQueue({ width: WORK_WIDTH, rushWidth: RUSH_WIDTH, max: () => config().inFlightMax.verifying, full: { hint: 'security.max_inflight_verify was reached, and few may wait until the rush is over', queue: 'verify' }, clock });
  const authorise = makeAuthorise({ store, rates });
  const decide = makeDecide(policy);
  const quotas = makeTenantQuotas({ rates, keyCounts: store.keyCounts });
  const rules = makeKeyRules(() => config().rules, store);
  const documents = makeKeyDocuments({ publicKeys });
  const outcomes = createOutcomes({ audit });
  const isAnchored = log.anchoring?.isReachable ?? (() => true);
  const isWritable = (): boolean => log.integrity.isWhole() && audit.isReady() && isAnchored();
  /** For all but verify and reads (DESIGN §8). */
  const requireWritable = (): void => {
    log.integrity.require();
    if (!isWritable()) throw new KmsError('AuditUnavailable', { hint: 'the audit log takes no entries; /readyz says more' });
  };
  const mutate = makeMutate({ store, log: { audit, outcomes }, anchoring: log.anchoring, clock, signing, requireWritable });
  const makeVersion = makeMakeVersion({ custody, clock });
  const reserveNonces = makeReserveNonces({ store, log: { audit, outcomes }, anchoring: log.anchoring, clock, random });
  const sealer = makeSealer({ custody, store, publicKeys, reserveNonces, kemAead: () => config().kemAead });
  const own = makeOwnChanges({ store, custody, mutate, make: { version: makeVersion, rules, decide }, clock, random });
  const renewSpent = makeRenewSpent({ store, authorise, own });
  const unwrapDeps = { authorise, decide, rules, limits: { quotas, signing }, custody, audit };

  const create = makeCreateKey({ authorise, decisions: { decide, rules, quotas }, mutate, make: { version: makeVersion, random, clock }, documents });
  const change = makeChangeKey({ authorise, mutate, documents, clock, make: { version: makeVersion, rules, decide }, quotas, destroyMinAfterMs: () => config().destroyMinAfterMs });
  const sign = makeSign({ authorise, decide, rules, limits: { rates, quotas, signing }, held: { custody, evidence }, audit });
  const verify = makeVerify({ authorise, decisions: { decide, rules }, limits: { quotas, verifying }, publicKeys, knownKeys: { outForMs: custody.outForMs, ttlMs: () => config().verifyCacheTtlMs }, record: makeRecordVerify(audit, telemetry), integrity: log.integrity });
  const wrap = makeWrap({ authorise, decide, rules, limits: { quotas, signing }, target: { sealer, renewSpent }, journal: { audit, random } });
  const unwrap = makeUnwrap(unwrapDeps);
  const rewrap = makeRewrap({ ...unwrapDeps, target: { sealer, renewSpent } });
  const acceptClock = makeAcceptClock({ authorise, audit, clockGuard });
  const rekey = makeRekey({ authorise, audit, clock, move: rootKeyMove, report: { telemetry, random } });
  const backup = makeBackup({ authorise, audit, backups, head: log.head, telemetry });
  const reload = makeReload({ authorise, audit, settings, requireWritable, report: { telemetry, clock, random } });
  const reading = createInFlight(() => RECORD_SCANS_MAX, { hint: 'too many requests read the log at once', queue: 'records' });
  const refusals = createRefusals({ audit, clock, random, telemetry });
  const perform = makePerform({ clock, random, telemetry, tracing, clockGuard, journal: { requireWritable, refusals } });
  const housekeeping = makeHousekeeping({ store, own, clocks: { clock, guard: clockGuard }, telemetry });

  type Request<F> = F extends (call: never, request: infer R) => unknown ? R : never;
  return {
    create: (caller: Caller, request: Request<typeof create>) => perform.one(caller, 'create', request.opId, (call) => create(call, request), () => hashOfBody(request.body)),
    patch: (caller: Caller, request: Request<typeof change.patch>) => perform.one(caller, 'patch', request.opId, (call) => change.patch(call, request), () => hashOfBody(request.body)),
    rotate: (caller: Caller, request: Request<typeof change.rotate>) => perform.one(caller, 'rotate', request.opId, (call) => change.rotate(call, request), () => hashOfBody(request.body)),
    move: (caller: Caller, op: 'disable' | 'enable' | 'destroy' | 'restore', request: Request<typeof change.destroy>) =>
      perform.one(caller, op, request.opId, (call) => change[op](call, request), () => hashOfBody(request.body)),
    sign: (caller: Caller, opId: string | undefined, request: Request<typeof sign>) => perform.one(caller, 'sign', opId, (call) => sign(call, request), () => digestOf(request.payload)),
    verify: (caller: Caller, request: Request<typeof verify>) => perform.one(caller, 'verify', undefined, (call) => verify(call, request), () => digestOf(request.payload)),
    signBatch: (caller: Caller, items: readonly { readonly opId: string | undefined; readonly parse: () => Request<typeof sign> }[]) =>
      perform.batch(caller, 'sign', items, (call, request) => sign(call, request), ({ payload }) => digestOf(payload)),
    verifyBatch: (caller: Caller, items: readonly { readonly opId: undefined; readonly parse: () => Request<typeof verify> }[]) =>
      perform.batch(caller, 'verify', items, (call, request) => verify(call, request), ({ payload }) => digestOf(payload)),
    // What a refused wrap was given is a key: no hash of it is kept.
    wrap: (caller: Caller, opId: string | undefined, request: Request<typeof wrap>) => perform.one(caller, 'wrap', opId, (call) => wrap(call, request)),
    unwrap: (caller: Caller, request: Request<typeof unwrap>) => perform.one(caller, 'unwrap', undefined, (call) => unwrap(call, request), () => blake3Hex(request.wrapped)),
    rewrap: (caller: Caller, request: Request<typeof rewrap>) => perform.one(caller, 'rewrap', undefined, (call) => rewrap(call, request), () => blake3Hex(request.wrapped)),
    getKey: makeGetKey({ authorise, store, documents }),
    listKeys: makeListKeys({ authorise, store, documents }),
    readToken: makeReadToken({ rates }),

    readLog: makeReadLog({ authorise, reader: log.reader }),
    readReceipt: makeReadReceipt({ reader: log.reader, rates }),
    readRecords: makeReadRecords({ authorise, reader: log.reader, reading }),
    acceptClock: (caller: Caller, opId: string | undefined, body: Request<typeof acceptClock>) => perform.one(caller, 'accept-clock', opId, (call) => acceptClock(call, body), () => hashOfBody(body)),
    rotateLogKeys: (caller: Caller, opId: string | undefined, request: Request<LogKeyKeeping['rotate']>) => perform.one(caller, 'log-keys', opId, (call) => {
      authorise.instance(call.caller, 'kms:admin');
      return log.keys.rotate(call, request);
    }, () => hashOfBody(request.body)),
    rekey: (caller: Caller, opId: string | undefined, body: Readonly<Record<string, unknown>>) => perform.one(caller, 'rekey', opId, (call) => rekey.start(call, body), () => hashOfBody(body)),
    rekeyState: rekey.state,
    reload: (caller: Caller) => perform.one(caller, 'reload', undefined, reload.byCall, () => hashOfBody({})),
    reloadByOperator: reload.byOperator,
    reloadFault: reload.fault,
    backup: (caller: Caller, opId: string | undefined, body: Readonly<Record<string, unknown>>) => perform.one(caller, 'backup', opId, (call) => backup.start(call, body), () => hashOfBody(body)),
    backupState: backup.state,
    /** A refusal before any operation: of a token, a body, a path. */
    refused: (refusal: KmsError, sender: Caller | Stranger, op?: Op) => refusals.record(refusal, refusedCallOf(sender, op), noInput),

    async housekeeping() {
      await outcomes.writeOwed();
      await refusals.sweep();
      if (!isWritable()) return;
      await housekeeping();
      await rekey.tick();
    },
    /** What is still to be written before the log is closed. */
    async close() {
      await rekey.stop();
      await backup.stop();
      await outcomes.writeOwed();
      await refusals.flush();
    },
    queueDepths: () => ({ sign: signing.depth(), verify: verifying.depth() }),
  };
}

/** `input_hash` of what is to be signed or verified. */
function digestOf(payload: Payload): string {
  return messageOf('b3', payload).digestHex;
}
