import type { AuditEvent } from '../core/log/entry.ts';
import type { Anchor, AnchorProof } from '../ports/anchor.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Standing } from './anchor-standing.ts';
import type { Integrity } from './integrity.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { blake3Hex } from '../core/digest.ts';
import { KmsError } from '../core/errors.ts';
import { standingOf } from './anchor-standing.ts';

/** What anchoring needs of the log. */
export interface AnchoredLog extends Pick<AuditLog, 'append'> {
  /** Takes a checkpoint over all that is flushed; when it returns it is flushed itself, and `headProof` is of it. */
  checkpointNow(): Promise<void>;
  /** Of the last anchor entry; 0 while there is none. */
  lastAnchorValue(): number;
  /** Of the newest checkpoint that is flushed. */
  headProof(): AnchorProof;
  /** Adds what an anchor signed to the checkpoint of this size, if it still is the newest. */
  addCosignatures?(lines: string, size: number): Promise<void>;
}

export interface AnchoringDeps {
  readonly anchor: Anchor;
  readonly log: AnchoredLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly integrity: Pick<Integrity, 'fail'>;
  /** `audit.anchor_interval`. */
  readonly intervalMs: number;
}

/** Keeps the anchor where the log is, and says when the two do not belong together (DESIGN §8). */
export interface Anchoring {
  /** Holds the anchor against the log and advances it. Returns also when that fails: `isReachable` and `mismatch` tell. */
  start(): Promise<void>;
  /** Between the outcome entry of a mutation and its answer: returns once the anchor covers the entry, throws `AuditUnavailable` when it cannot. */
  afterMutation(): Promise<void>;
  /** Advances what is due, and tries again what failed; to be called about once a second. */
  tick(): Promise<void>;
  /** True from an advance that succeeded to one that did not: while it is false nothing may be written. */
  isReachable(): boolean;
  /** What is at odds, for good: an operator has to look, and the service to start again. */
  mismatch(): string | undefined;
}

/** Beyond the deadline of any adapter: for a medium that hangs in the kernel. */
const PATIENCE_MS = 3000;
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_MAX_MS = 30_000;
const NS_PER_MS = 1_000_000;

export function createAnchoring({ anchor, log, clock, random, telemetry, integrity, intervalMs }: AnchoringDeps): Anchoring {
  const device = withPatience(anchor);
  let mismatch: string | undefined;
  let isReachable = false;
  let failures = 0;
  let retryAtNs = 0n;
  let anchored = { size: 0, atNs: 0n };
  let lastRound: Promise<void> = Promise.resolve();
  let nextRound: Promise<void> | undefined;

  const disagree = (what: string): void => {
    mismatch = what;
    isReachable = false;
    telemetry.event('error', 'anchor_mismatch', { anchor: anchor.kind, what });
    integrity.fail('anchor', what);
  };

  /** The checkpoint first: it covers the entry. A crash anywhere before the device has it leaves the device one behind. Gives what the device has against it. */
  const advanceTo = async (value: number): Promise<string | undefined> => {
    await log.checkpointNow();
    const proof = log.headProof();
    const advanced = await device.advance(value, proof);
    if ('fault' in advanced) return advanced.fault;
    anchored = { size: proof.treeSize, atNs: clock.monotonicNs() };
    succeed();
    if (advanced.cosignatures !== undefined) await keepCosignatures(advanced.cosignatures, proof.treeSize);
    return undefined;
  };

  const keepCosignatures = async (lines: string, size: number): Promise<void> => {
    try {
      await log.addCosignatures?.(lines, size);
    } catch {
      // The anchor has advanced all the same. A checkpoint that cannot be written shows itself with the next one.
    }
  };

  const anchorAnew = async (): Promise<void> => {
    const value = log.lastAnchorValue() + 1;
    await log.append([anchorEvent(value, log.headProof(), random.uuidv7())], { mustFlush: true });
    const fault = await advanceTo(value);
    if (fault !== undefined) disagree(fault);
  };

  /** How the device stands to the log as it is now. */
  const look = async (): Promise<Standing> => {
    const newest = log.headProof();
    return standingOf(await device.read(newest), log.lastAnchorValue(), newest);
  };

  /** At start, and after a failure: the advance may have gone through, or not. Until that is known no entry is written. */
  const settle = async (): Promise<void> => {
    const standing = await look();
    if (typeof standing === 'object') return disagree(standing.fault);
    if (standing === 'equal') return anchorAnew();
    const fault = await advanceTo(log.lastAnchorValue());
    if (fault === undefined) return undefined;
    // What a process that died had asked of the device may come to pass after this one has looked at it.
    return await look() === 'equal' ? anchorAnew() : disagree(fault);
  };

  const succeed = (): void => {
    if (failures > 0) telemetry.event('info', 'anchor_reached_again', { anchor: anchor.kind });
    isReachable = true;
    failures = 0;
    retryAtNs = 0n;
  };

  /** Each wait twice the one before, and half of it by lot: many services do not come back in the same moment. */
  const fail = (fault: unknown): void => {
    if (failures === 0) telemetry.event('error', 'anchor_unreachable', { anchor: anchor.kind, why: reasonOf(fault) });
    const lot = random.bytes(1).readUInt8() / 255;
    const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** failures) * (1 + lot) / 2;
    isReachable = false;
    failures++;
    retryAtNs = clock.monotonicNs() + BigInt(Math.round(waitMs * NS_PER_MS));
  };

  /** Never throws: how it ended is in `isReachable` and `mismatch`. */
  const round = async (): Promise<void> => {
    nextRound = undefined;
    if (mismatch !== undefined || clock.monotonicNs() < retryAtNs) return;
    try {
      await (isReachable ? anchorAnew() : settle());
    } catch (fault) {
      fail(fault);
    }
  };

  /** One at a time. All who come while one is under way share the next, which begins after their entries. */
  const anchorNow = (): Promise<void> => {
    nextRound ??= lastRound = lastRound.then(round);
    return nextRound;
  };

  const isDue = (): boolean => {
    const nowNs = clock.monotonicNs();
    if (!isReachable) return nowNs >= retryAtNs;
    return nowNs - anchored.atNs >= BigInt(intervalMs * NS_PER_MS) && log.headProof().treeSize > anchored.size;
  };

  return {
    start: anchorNow,
    async afterMutation() {
      await anchorNow();
      if (!isReachable) throw new KmsError('AuditUnavailable', { hint: mismatch === undefined ? 'the anchor cannot be reached' : 'the anchor and the log are at odds' });
    },
    async tick() {
      if (mismatch === undefined && isDue()) await anchorNow();
    },
    isReachable: () => isReachable,
    mismatch: () => mismatch,
  };
}

/**
 * Holds the anchor against a log that nothing was written to yet: what is at odds; undefined where nothing is, and where
 * the anchor does not answer, since writes wait for it anyway.
 */
export async function lookAtAnchor(anchor: Anchor, lastValue: number, newest: AnchorProof): Promise<string | undefined> {
  try {
    const standing = await standingOf(await withPatience(anchor).read(newest), lastValue, newest);
    return typeof standing === 'object' ? standing.fault : undefined;
  } catch {
    return undefined;
  }
}

/** What hangs is as good as gone, and is asked nothing more before it has answered: two calls never overlap. */
function withPatience({ kind, read, advance }: Anchor): Anchor {
  let isAnswering = false;
  const ask = async <T>(call: () => Promise<T>): Promise<T> => {
    if (isAnswering) throw new Error('it has not answered the call before');
    isAnswering = true;
    const answer = call().finally(() => { isAnswering = false; });
    const impatience = Promise.withResolvers<never>();
    const timer = setTimeout(() => impatience.reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    try {
      return await Promise.race([answer, impatience.promise]);
    } finally {
      clearTimeout(timer);
    }
  };
  return { kind, read: (newest) => ask(() => read(newest)), advance: (value, proof) => ask(() => advance(value, proof)) };
}

/** Of the service itself. Its head is the newest before it, which an auditor can hold against the tree. */
function anchorEvent(value: number, { treeSize, rootHash }: AnchorProof, opId: string): AuditEvent {
  const detail = { value, tree_size: treeSize, root_hash: rootHash.toString('base64') };
  return {
    op: 'anchor', op_id: opId, corr_id: opId, result: 'ok', actor: { via: 'service' },
    input_hash: blake3Hex(canonicalJson(detail)),
    tenant: undefined, kid: undefined, alg: undefined, purpose: undefined, reason: undefined, policy: undefined, generation: undefined,
    detail: { anchor: detail },
  };
}

/** The innermost fault says what it was; what stands around it says only that something was. */
function reasonOf(fault: unknown): string {
  if (!(fault instanceof Error)) return 'not an error';
  return fault.cause === undefined ? fault.message : reasonOf(fault.cause);
}
