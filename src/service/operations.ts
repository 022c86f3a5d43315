import type { Aead } from '../core/algorithm/table.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Policy } from '../ports/policy.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Caller } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { KeyRulesConfig } from './key-rules.ts';
import { makeAuthorise } from './authorise.ts';
import { makeChangeKey } from './change-key.ts';
import { makeCreateKey } from './create-key.ts';
import { makeHousekeeping } from './housekeeping.ts';
import { createInFlight } from './in-flight.ts';
import { makeKeyDocuments } from './key-document.ts';
import { makeKeyRules } from './key-rules.ts';
import { makeMakeVersion } from './make-version.ts';
import { makeMutate } from './mutate.ts';
import { makePerform } from './perform.ts';
import { createRateLimits } from './rate-limits.ts';
import { makeGetKey, makeListKeys } from './read-keys.ts';
import { makeReadToken } from './read-token.ts';
import { makeSealer } from './sealer.ts';
import { makeSign } from './sign.ts';
import { makeRewrap, makeUnwrap } from './unwrap.ts';
import { makeRecordVerify, makeVerify } from './verify.ts';
import { makeWrap } from './wrap.ts';

/** What the world outside gives the services. */
export interface World {
  readonly custody: { readonly custody: Custody; readonly publicKeys: PublicKeys };
  readonly store: KeyStore;
  readonly audit: AuditLog;
  readonly policy: Policy;
  readonly telemetry: Telemetry;
  readonly system: { readonly clock: Clock; readonly random: Random; readonly clockGuard: ClockGuard };
}

export interface OperationsConfig {
  readonly rules: KeyRulesConfig;
  readonly kemAead: Aead;
  readonly signPerSecond: number;
  readonly inFlightMax: { readonly signing: number; readonly verifying: number };
  readonly destroyMinAfterMs: number;
}

export type Operations = ReturnType<typeof createOperations>;

/** The services, tied together: each operation with no more than it needs, every client's call through `perform`. */
export function createOperations({ custody: { custody, publicKeys }, store, audit, policy, telemetry, system }: World, config: OperationsConfig) {
  const { clock, random, clockGuard } = system;
  const rates = createRateLimits({ clock, signPerSecond: config.signPerSecond });
  const signing = createInFlight(config.inFlightMax.signing, 'security.max_inflight_sign operations are in flight');
  const verifying = createInFlight(config.inFlightMax.verifying, 'security.max_inflight_verify verifications are in flight');
  const authorise = makeAuthorise({ store, rates });
  const rules = makeKeyRules(config.rules);
  const documents = makeKeyDocuments({ publicKeys });
  const mutate = makeMutate({ store, audit, clock, signing });
  const makeVersion = makeMakeVersion({ custody, clock });
  const sealer = makeSealer({ custody, store, publicKeys, kemAead: config.kemAead });
  const unwrapDeps = { authorise, rules, signing, custody, audit };

  const create = makeCreateKey({ authorise, policy, rules, mutate, make: { version: makeVersion, random, clock }, documents });
  const change = makeChangeKey({ authorise, mutate, documents, clock, make: { version: makeVersion, rules, policy }, destroyMinAfterMs: config.destroyMinAfterMs });
  const sign = makeSign({ authorise, policy, rules, limits: { rates, signing }, custody, audit });
  const verify = makeVerify({ authorise, policy, rules, verifying, publicKeys, record: makeRecordVerify(audit, telemetry) });
  const wrap = makeWrap({ authorise, policy, rules, signing, sealer, journal: { audit, random } });
  const unwrap = makeUnwrap(unwrapDeps);
  const rewrap = makeRewrap({ ...unwrapDeps, target: { policy, sealer } });
  const perform = makePerform({ clock, random, telemetry, clockGuard });

  type Request<F> = F extends (call: never, request: infer R) => unknown ? R : never;
  return {
    create: (caller: Caller, request: Request<typeof create>) => perform.one(caller, 'create', request.opId, (call) => create(call, request)),
    patch: (caller: Caller, request: Request<typeof change.patch>) => perform.one(caller, 'patch', request.opId, (call) => change.patch(call, request)),
    rotate: (caller: Caller, request: Request<typeof change.rotate>) => perform.one(caller, 'rotate', request.opId, (call) => change.rotate(call, request)),
    move: (caller: Caller, op: 'disable' | 'enable' | 'destroy' | 'restore', request: Request<typeof change.destroy>) =>
      perform.one(caller, op, request.opId, (call) => change[op](call, request)),
    sign: (caller: Caller, opId: string | undefined, request: Request<typeof sign>) => perform.one(caller, 'sign', opId, (call) => sign(call, request)),
    verify: (caller: Caller, request: Request<typeof verify>) => perform.one(caller, 'verify', undefined, (call) => verify(call, request)),
    signBatch: (caller: Caller, items: readonly { readonly opId: string | undefined; readonly parse: () => Request<typeof sign> }[]) =>
      perform.batch(caller, 'sign', items, (call, request) => sign(call, request)),
    verifyBatch: (caller: Caller, items: readonly { readonly opId: undefined; readonly parse: () => Request<typeof verify> }[]) =>
      perform.batch(caller, 'verify', items, (call, request) => verify(call, request)),
    wrap: (caller: Caller, opId: string | undefined, request: Request<typeof wrap>) => perform.one(caller, 'wrap', opId, (call) => wrap(call, request)),
    unwrap: (caller: Caller, request: Request<typeof unwrap>) => perform.one(caller, 'unwrap', undefined, (call) => unwrap(call, request)),
    rewrap: (caller: Caller, request: Request<typeof rewrap>) => perform.one(caller, 'rewrap', undefined, (call) => rewrap(call, request)),
    getKey: makeGetKey({ authorise, store, documents }),
    listKeys: makeListKeys({ authorise, store, documents }),
    readToken: makeReadToken({ rates }),
    housekeeping: makeHousekeeping({ store, custody, mutate, make: { version: makeVersion, rules, policy }, clocks: { clock, guard: clockGuard }, report: { telemetry, random } }),
    queueDepths: () => ({ sign: signing.depth(), verify: verifying.depth() }),
  };
}
