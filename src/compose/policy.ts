import type { HttpPolicy } from '../adapters/policy-http/policy.ts';
import type { Config } from '../config/load.ts';
import type { OwnRules } from '../core/policy/decision.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Tracing } from '../ports/tracing.ts';
import type { LiveConfig } from './live-config.ts';
import { createBuiltinPolicy } from '../adapters/policy-builtin/policy.ts';
import { createHttpPolicy } from '../adapters/policy-http/policy.ts';

interface PolicyDeps {
  readonly live: Pick<LiveConfig, 'current' | 'derived'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly tracing: Tracing;
}

/** Whoever `policy.mode` names at the time of each call. */
export function openPolicy({ live, clock, random, telemetry, tracing }: PolicyDeps): HttpPolicy {
  const builtin = createBuiltinPolicy(live.derived(ownRules));
  const http = createHttpPolicy({
    own: builtin.own, clock, telemetry, tracing,
    chance: random.chance,
    config: live.derived(({ settings }) => ({ url: settings['policy.url'] ?? '', deadlineMs: settings['policy.deadline'], cacheTtlMs: settings['policy.cache_ttl'] })),
  });
  const isAsked = (): boolean => live.current().settings['policy.mode'] === 'http';
  return {
    own: builtin.own,
    decide: (question) => (isAsked() ? http : builtin).decide(question),
    isReachable: () => !isAsked() || http.isReachable(),
  };
}

export function ownRules({ settings, tenants }: Config): OwnRules {
  return {
    stage: { produceHybrid: settings['pq.produce_hybrid'], verifyMode: settings['pq.verify_mode'], rolloutPercent: settings['pq.rollout_percent'] },
    attestRequire: settings['security.attest_require'],
    tenants,
  };
}
