import type { VerifyMode } from '../core/bundle/modes.ts';
import type { VersionRecord } from '../core/key/record.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { PolicyAnswer } from '../ports/policy.ts';
import type { Subject } from './call.ts';
import type { Alg } from '../core/algorithm/table.ts';
import { isAllowed } from '../core/algorithm/table.ts';
import { KmsError } from '../core/errors.ts';
import { canUse } from '../core/key/lifecycle.ts';
import { requirePostQuantum } from '../core/policy/decision.ts';

/** What must hold of a key before it is touched, whoever asks. Unwrap skips all but `requireUsable`'s state. */
export interface KeyRules {
  requireAllowed(alg: Alg): void;
  /** Allow-listed, and in a state in which the private part may be used. */
  requireUsable(subject: Subject): void;
  requireState(version: VersionRecord): void;
  /** Again, once custody is done: what was held or destroyed meanwhile gives nothing away, and no entry says so behind the one that tells of it. */
  requireStillUsable(subject: Pick<Subject, 'key' | 'version'>): Promise<void>;
  requirePolicy(subject: Pick<Subject, 'spec'>, decision: PolicyAnswer, mode: VerifyMode): void;
}

export interface KeyRulesConfig {
  /** `service.allowed_algs` and `service.allowed_aeads` together. */
  readonly allowed: ReadonlySet<string>;
}

/** `config` is asked each time: a reload may change it. */
export function makeKeyRules(config: () => KeyRulesConfig, store: Pick<KeyStore, 'find'>): KeyRules {
  const rules: KeyRules = {
    requireAllowed(alg) {
      if (!isAllowed(alg, config().allowed)) throw new KmsError('Unsupported', { hint: 'service.allowed_algs or service.allowed_aeads does not list this algorithm' });
    },
    requireUsable({ key, version }) {
      rules.requireAllowed(key.alg);
      rules.requireState(version);
    },
    requireState({ state }) {
      if (!canUse(state)) throw new KmsError('KeyState', { hint: `this version is ${state}` });
    },
    async requireStillUsable({ key, version }) {
      const now = (await store.find(key.base))?.versions[version.version - 1];
      if (now === undefined) throw new KmsError('NotFound');
      rules.requireState(now);
    },
    requirePolicy({ spec }, { classicalOk }, mode) {
      requirePostQuantum(spec, mode, classicalOk);
    },
  };
  return rules;
}
