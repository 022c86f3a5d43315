import type { Alg } from '../core/algorithm/table.ts';
import type { KeyRecord } from '../core/key/record.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall } from './call.ts';
import type { Decide } from './decide.ts';
import type { KeyDocument, KeyDocuments } from './key-document.ts';
import type { KeyRules } from './key-rules.ts';
import type { MakeVersion } from './make-version.ts';
import type { Mutate } from './mutate.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import { defaultAlg, parameterSetOf, specOf } from '../core/algorithm/table.ts';
import { KmsError } from '../core/errors.ts';
import { kidBase } from '../core/key/kid.ts';

export interface CreateRequest {
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: Alg | undefined;
  readonly parameterSet: string | undefined;
  readonly input: 'b3' | 'raw';
  readonly labels: Readonly<Record<string, string>>;
  readonly rotateAfterMs: number | undefined;
  readonly policyHints: Readonly<Record<string, unknown>> | undefined;
  readonly opId: string | undefined;
  /** The validated body, for the sameness of an `op_id`. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface CreateDeps {
  readonly authorise: Authorise;
  readonly decisions: { readonly decide: Decide; readonly rules: KeyRules; readonly quotas: TenantQuotas };
  readonly mutate: Mutate;
  readonly make: { readonly version: MakeVersion; readonly random: Random; readonly clock: Clock };
  readonly documents: KeyDocuments;
}

/** POST /keys. */
export function makeCreateKey({ authorise, decisions: { decide, rules, quotas }, mutate, make, documents }: CreateDeps) {
  return async (call: ClientCall, request: CreateRequest): Promise<KeyDocument> => {
    const { tenant, purpose } = request;
    const alg = request.alg ?? defaultAlg(purpose);
    const { ok, parameterSet } = parameterSetOf(alg, request.parameterSet);

    return mutate(call, {
      place: [tenant, 'POST', '/keys'],
      body: request.body,
      opId: request.opId,
      base: undefined,
      authorise: async () => authorise.name(call, 'kms:rotate', { tenant, purpose, alg }),
      check: async () => {
        rules.requireAllowed(alg);
        if (!ok) throw new KmsError('Unsupported', { hint: 'the algorithm has no such parameter_set' });
        const decision = await decide(call, { ...request, alg });
        rules.requirePolicy({ spec: specOf(alg, parameterSet) }, decision, decision.mode);
        quotas.enter(call, tenant, decision.quotas);
        quotas.takeKey(call, tenant, decision.quotas);
      },
      change: async () => {
        const createdAtMs = make.clock.wallMs();
        const empty: KeyRecord = {
          base: kidBase(tenant, purpose, alg, make.random.uuidv7()),
          tenant, purpose, alg, createdAtMs,
          ...(parameterSet !== undefined && { parameterSet }),
          input: request.input,
          labels: request.labels,
          ...(request.policyHints && { policyHints: request.policyHints }),
          ...(request.rotateAfterMs !== undefined && { rotateAfterMs: request.rotateAfterMs }),
          versions: [],
        };
        return make.version(call, empty);
      },
      answer: (key) => documents.of(key, call.caller.caveats),
    });
  };
}
