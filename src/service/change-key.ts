import type { Kid } from '../core/key/kid.ts';
import type { Transition } from '../core/key/lifecycle.ts';
import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Clock } from '../ports/clock.ts';
import type { Scope } from '../core/macaroon/caveats.ts';
import type { Authorise } from './authorise.ts';
import type { Call, ClientCall } from './call.ts';
import type { Decide } from './decide.ts';
import type { KeyDocument, KeyDocuments } from './key-document.ts';
import type { KeyRules } from './key-rules.ts';
import type { MakeVersion } from './make-version.ts';
import type { Change, Mutate, Mutation } from './mutate.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import { KmsError } from '../core/errors.ts';
import { canUse, step } from '../core/key/lifecycle.ts';
import { currentVersion } from '../core/key/record.ts';
import { admitsKid } from '../core/macaroon/caveats.ts';

/** What every mutation of an existing key comes with. */
export interface ChangeRequest {
  readonly kid: Kid;
  readonly opId: string | undefined;
  /** The validated body, for the sameness of an `op_id`. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface PatchRequest extends ChangeRequest {
  /** Replaces the whole set. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** null takes the schedule away. */
  readonly rotateAfterMs: number | null | undefined;
}

export interface DestroyRequest extends ChangeRequest {
  readonly afterMs: number | undefined;
}

export interface RotateAnswer {
  readonly kid: string;
  readonly previous: string;
}

export interface ChangeDeps {
  readonly authorise: Authorise;
  readonly mutate: Mutate;
  readonly documents: KeyDocuments;
  readonly clock: Clock;
  readonly make: { readonly version: MakeVersion; readonly rules: KeyRules; readonly decide: Decide };
  readonly quotas: TenantQuotas;
  /** `keys.destroy_min_after`. */
  readonly destroyMinAfterMs: () => number;
}

/** What is particular to a mutation of an existing key. */
interface Steps<T> {
  /** Refuses what its state does not allow, before the policy is asked. */
  readonly check?: (key: KeyRecord) => unknown;
  readonly change: (key: KeyRecord) => Change | Promise<Change>;
  readonly answer: (key: KeyRecord) => T;
}

const DESTROY_AFTER_MS = 7 * 86_400_000;
/** Ten years: a date that a typing error makes is refused. */
const DESTROY_AFTER_MAX_MS = 3650 * 86_400_000;

/** PATCH /keys/{kid} and POST /keys/{kid}/{rotate,disable,enable,destroy,restore}. */
export function makeChangeKey({ authorise, mutate, documents, clock, make, quotas, destroyMinAfterMs }: ChangeDeps) {
  /** The mutation of one key; the steps get the record as it stands when its turn has come. */
  const mutation = <T>(call: ClientCall, scope: Scope, request: ChangeRequest, { check, change, answer }: Steps<T>): Mutation<T> => {
    const { kid } = request;
    const keyOf = (): KeyRecord => {
      if (call.subject === undefined) throw new Error('a mutation is authorised before it changes anything');
      return call.subject.key;
    };
    return {
      place: [kid.tenant, call.op, kid.base, String(kid.version ?? '')],
      body: request.body,
      opId: request.opId,
      base: kid.base,
      authorise: async () => {
        const { key } = await authorise.version(call, scope, kid);
        // What changes the key as a whole is about its current version, whichever was named.
        if (scope === 'kms:rotate') authorise.current(call, key);
      },
      check: async () => {
        const key = keyOf();
        await check?.(key);
        const decision = await make.decide(call, key);
        quotas.enter(call, key.tenant, decision.quotas);
      },
      change: async () => change(keyOf()),
      answer,
    };
  };

  const transition = (name: Transition) => (call: ClientCall, request: DestroyRequest): Promise<KeyDocument> => {
    const move = (key: KeyRecord): KeyRecord => {
      const afterMs = request.afterMs ?? Math.max(DESTROY_AFTER_MS, destroyMinAfterMs());
      // A token for one version moves that one only, also when it names the whole key.
      const isMeant = ({ version }: VersionRecord): boolean => (request.kid.version ?? version) === version && admitsKid(call.caller.caveats, key, version);
      return moveVersions(key, name, isMeant, { nowMs: clock.wallMs(), afterMs });
    };
    return mutate(call, mutation(call, 'kms:destroy', request, { check: move, change: (key) => ({ put: fixed(move(key)) }), answer: (key) => documents.of(key, call.caller.caveats) }));
  };

  return {
    patch: (call: ClientCall, request: PatchRequest): Promise<KeyDocument> =>
      mutate(call, mutation(call, 'kms:rotate', request, {
        change: ({ rotateAfterMs, ...key }) => {
          const schedule = request.rotateAfterMs === undefined ? rotateAfterMs : request.rotateAfterMs;
          return {
            put: fixed({ ...key, ...(request.labels && { labels: request.labels }), ...(schedule !== undefined && schedule !== null && { rotateAfterMs: schedule }) }),
          };
        },
        answer: (key) => documents.of(key, call.caller.caveats),
      })),

    rotate: (call: ClientCall, request: ChangeRequest): Promise<RotateAnswer> =>
      mutate(call, mutation(call, 'kms:rotate', request, {
        check: (key) => requireUsableKey(key, make),
        change: (key) => make.version(call, key),
        answer: (key) => ({ kid: currentVersion(key).kid, previous: key.versions.at(-2)?.kid ?? '' }),
      })),

    disable: transition('disable'),
    enable: transition('enable'),
    restore: transition('restore'),

    destroy: async (call: ClientCall, request: DestroyRequest): Promise<KeyDocument> => {
      const { afterMs } = request;
      if (afterMs !== undefined && (afterMs < destroyMinAfterMs() || afterMs > DESTROY_AFTER_MAX_MS)) {
        throw new KmsError('BadRequest', { hint: 'after is at least keys.destroy_min_after, at most 3650d' });
      }
      return transition('destroy')(call, request);
    },
  };
}

/** A record that does not depend on the generation. */
export function fixed(key: KeyRecord): Change['put'] {
  return () => key;
}

/** A key that is held or gone as a whole is not brought back by a new version. */
function requireUsableKey(key: KeyRecord, { rules }: { readonly rules: KeyRules }): void {
  if (!key.versions.some(({ state }) => canUse(state))) throw new KmsError('KeyState', { hint: 'no version of this key is enabled' });
  rules.requireAllowed(key.alg);
}

/** What stands against a rotation that nobody asks for. */
export async function requireRotatable(call: Call, key: KeyRecord, make: { readonly rules: KeyRules; readonly decide: Decide }): Promise<void> {
  requireUsableKey(key, make);
  await make.decide(call, key);
}

/** Moves every version that is meant and that the transition fits; refused when there is none. */
export function moveVersions(key: KeyRecord, transition: Transition, isMeant: (version: VersionRecord) => boolean, { nowMs, afterMs }: { readonly nowMs: number; readonly afterMs: number }): KeyRecord {
  let moved = 0;
  const versions = key.versions.map((record) => {
    if (!isMeant(record)) return record;
    const { state, destroyAtMs, restoreTo, custodyBlob, sealedGeneration, ...rest } = record;
    // What is due is as good as gone: it is erased, and no longer restored.
    const isDue = destroyAtMs !== undefined && destroyAtMs <= nowMs;
    const isOutOfTime = (transition === 'restore' && isDue) || (transition === 'erase' && !isDue);
    const next = isOutOfTime ? undefined : step({ state, ...(destroyAtMs !== undefined && { destroyAtMs }), ...(restoreTo && { restoreTo }) }, transition, nowMs + afterMs);
    if (next === undefined) return record;
    moved++;
    // Of a destroyed version the private part goes with the record that says so.
    const kept = next.state === 'destroyed' ? {} : { ...(custodyBlob && { custodyBlob }), ...(sealedGeneration !== undefined && { sealedGeneration }) };
    return { ...rest, ...kept, ...next };
  });
  if (moved === 0) throw new KmsError('KeyState', { hint: `no version in question can be changed by ${transition}` });
  return { ...key, versions };
}
