import type { NumberRow } from '../adapters/telemetry/metrics.ts';
import type { Settings } from '../config/keys.ts';
import type { Condition } from '../http/operator-server.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { GuardedCustody } from '../service/custody-guard.ts';
import type { LiveConfig } from './live-config.ts';
import { watchLoopLag } from '../adapters/system/loop-lag.ts';
import { verifyModes } from '../core/bundle/modes.ts';

export interface GaugesDeps {
  readonly settings: Settings;
  readonly live: Pick<LiveConfig, 'current'>;
  readonly store: Pick<KeyStore, 'keyCounts'>;
  readonly custody: () => Pick<GuardedCustody, 'busy' | 'isReady' | 'outForMs' | 'reconnects'>;
  readonly queueDepths: () => Readonly<Record<string, number>>;
  readonly conditions: () => readonly Condition[];
}

/** By name (DESIGN §11); beyond them `other`. */
const TENANTS_NAMED = 1000;

/** Numbers that are read off the service when somebody looks; what it counts as it goes is in `adapters/telemetry`. */
export function makeGauges({ settings, live, store, custody, queueDepths, conditions }: GaugesDeps): Readonly<Record<string, NumberRow>> {
  const backend = settings['service.backend'];
  const loopLag = watchLoopLag();
  return {
    queue_depth: { help: 'Operations in flight.', label: 'queue', read: queueDepths },
    kms_ready: { help: '1 where a condition of /readyz is met.', label: 'condition', read: () => Object.fromEntries(conditions().map(({ name, isMet }) => [name, Number(isMet)])) },
    kms_event_loop_lag_seconds: { help: 'How late the event loop was since this was last asked, by quantile.', label: 'quantile', read: loopLag.take },
    kms_keys_total: { help: 'Keys there are, destroyed ones too.', labels: ['tenant', 'alg'], read: () => store.keyCounts().entries(TENANTS_NAMED) },
    kms_backend_sessions: { help: 'Calls that the backend that holds the keys is at, and whether it is lost.', labels: ['backend', 'state'], read: () => [[[backend, 'busy'], custody().busy()], [[backend, 'lost'], Number(!custody().isReady())]] },
    kms_backend_reconnects_total: { help: 'How often the backend came back.', isCounter: true, label: 'backend', read: () => ({ [backend]: custody().reconnects() }) },
    verify_cache_age_ms: { help: 'How old the public keys are that verify goes on with while the backend is out; 0 while it is not.', read: () => custody().outForMs() ?? 0 },
    kms_pq_mode: { help: '1 at the verify mode that is rolled out.', label: 'mode', read: () => Object.fromEntries(verifyModes.map((mode) => [mode, Number(mode === live.current().settings['pq.verify_mode'])])) },
    kms_pq_rollout_percent: { help: 'The share of tenants that the post-quantum stage applies to.', read: () => live.current().settings['pq.rollout_percent'] },
  };
}
