import type { KeyRecord } from '../core/key/record.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Committed, KeyStore, OperationRecord } from '../ports/key-store.ts';
import type { Anchoring } from './anchoring.ts';
import type { Call, Subject } from './call.ts';
import type { Outcomes } from './outcomes.ts';
import type { WorkQueue } from './work-queue.ts';
import { specOf } from '../core/algorithm/table.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { blake3Hex } from '../core/digest.ts';
import { KmsError } from '../core/errors.ts';
import { currentVersion } from '../core/key/record.ts';
import { eventOf } from './call.ts';

export interface Change {
  /** The record to keep, once the generation that makes it is known. */
  readonly put: (generation: number) => KeyRecord;
  /** Undoes what was made outside the store, when the store does not take the change. */
  readonly undo?: () => Promise<void>;
}

export interface Mutation<T> {
  /** Where an `op_id` is unique, besides root key and client: tenant, method and path. */
  readonly place: readonly string[];
  /** The validated body; `policy_hints` count for sameness, and are left out of the audit hash. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly opId: string | undefined;
  /** The base of the key, so that mutations of one key go one after the other; undefined for create. */
  readonly base: string | undefined;
  /** Authorises, again on a replay. */
  readonly authorise: () => Promise<void>;
  /** Refuses what state, rules or policy do not allow, before anything is written; not asked on a replay. */
  readonly check: () => Promise<void>;
  /** Decides the new record; nothing is kept until it returns. */
  readonly change: () => Promise<Change>;
  readonly answer: (key: KeyRecord) => T;
}

export interface MutateDeps {
  readonly store: KeyStore;
  readonly log: { readonly audit: AuditLog; readonly outcomes: Outcomes };
  readonly anchoring: Pick<Anchoring, 'afterMutation'> | undefined;
  readonly clock: Clock;
  readonly signing: WorkQueue;
  /** Throws what stands against any change. */
  readonly requireWritable: () => void;
}

export type Mutate = <T>(call: Call, mutation: Mutation<T>) => Promise<T>;

const OPERATION_KEPT_MS = 24 * 3_600_000;
const FLUSHED = { mustFlush: true };

/** Every mutation: authorise, look for the same `op_id`, then check → intent → change → commit → outcome. */
export function makeMutate({ store, log: { audit, outcomes }, anchoring, clock, signing, requireWritable }: MutateDeps): Mutate {
  const oneAtATime = makeTurnstile();

  const commit = async <T>(call: Call, mutation: Mutation<T>, operation: PendingOperation | undefined, intent: number): Promise<Committed> => {
    const { put, undo } = await signing.run(tenantOf(call), mutation.change);
    try {
      return await store.commit({ put, intent, ...(operation && { operation }) });
    } catch (fault) {
      await undo?.();
      throw fault;
    }
  };

  const apply = async <T>(call: Call, mutation: Mutation<T>, operation: PendingOperation | undefined, inputHash: string): Promise<T> => {
    requireWritable();
    await mutation.check();
    // Model: [mutate].
    const { firstIndex: intent } = await audit.append([eventOf(call, { inputHash, result: 'intent' })], FLUSHED);
    call.isLogged = true;
    // A crash from here on leaves the intent open: start-up holds it against the store and settles it.
    const { key, generation } = await commit(call, mutation, operation, intent).catch(async (fault: unknown) => {
      const refusal = KmsError.from(fault);
      await outcomes.append(eventOf(call, { inputHash, result: refusal.code, reason: refusal.hint }));
      throw refusal;
    });
    await outcomes.append(eventOf(call, { inputHash, result: 'ok', generation }));
    await anchoring?.afterMutation();
    return mutation.answer(key);
  };

  return async <T>(call: Call, mutation: Mutation<T>): Promise<T> => {
    const operation = operationOf(call, mutation, clock.wallMs());
    return oneAtATime([mutation.base, operation?.scope], async () => {
      await mutation.authorise();
      const before = operation && (await store.findOperation(operation.scope, clock.wallMs()));
      const inputHash = hashOfBody(mutation.body);
      if (before === undefined) return apply(call, mutation, operation, inputHash);
      if (before.bodyHash !== operation?.bodyHash) throw new KmsError('Conflict', { hint: 'use a new op_id for a new request' });
      call.subject ??= subjectOf(before.key);
      // What is said again stands in the log before it.
      await outcomes.writeOwed();
      await audit.append([eventOf(call, { inputHash, result: 'ok', reason: 'replay' })]);
      return mutation.answer(before.key);
    });
  };
}

/** The `input_hash` of a mutation (DESIGN §8). */
export function hashOfBody(body: Readonly<Record<string, unknown>>): string {
  const { policy_hints: _, ...logged } = body;
  return blake3Hex(canonicalJson(logged));
}

/** An operation before it has made anything. */
type PendingOperation = Omit<OperationRecord, 'key'>;

function operationOf<T>({ caller }: Call, { opId, place, body }: Mutation<T>, nowMs: number): PendingOperation | undefined {
  if (opId === undefined || caller === undefined) return undefined;
  const { rootKeyId, clientId } = caller.identity;
  const { op_id: _, ...rest } = body;
  return {
    scope: JSON.stringify([rootKeyId, clientId, ...place, opId]),
    bodyHash: blake3Hex(canonicalJson(rest)),
    expiresAtMs: nowMs + OPERATION_KEPT_MS,
  };
}

function tenantOf({ subject, admitted }: Call): string {
  return subject?.key.tenant ?? admitted?.tenant ?? '';
}

function subjectOf(key: KeyRecord): Subject {
  return { key, version: currentVersion(key), spec: specOf(key.alg, key.parameterSet) };
}

/** Work that shares a name goes one after the other, in the order of its arrival. */
function makeTurnstile(): <T>(names: readonly (string | undefined)[], work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return async (names, work) => {
    const held = names.filter((name) => name !== undefined);
    const before = held.map(async (name) => last.get(name));
    const turn = (async () => {
      await Promise.allSettled(before);
      return work();
    })();
    for (const name of held) last.set(name, turn);
    try {
      return await turn;
    } finally {
      for (const name of held) if (last.get(name) === turn) last.delete(name);
    }
  };
}
