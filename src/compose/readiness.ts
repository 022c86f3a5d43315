import type { Log } from '../adapters/audit-log/log.ts';
import type { Config } from '../config/load.ts';
import type { Condition } from '../http/operator-server.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Anchoring } from '../service/anchoring.ts';
import type { ClockGuard } from '../service/clock-guard.ts';
import type { Evidence } from '../service/evidence.ts';
import type { GuardedCustody } from '../service/custody-guard.ts';
import type { Integrity } from '../service/integrity.ts';
import type { Auth } from './auth.ts';

interface ReadinessDeps {
  /** Why the last reload was not taken. */
  readonly reloadFault: () => string | undefined;
  readonly settings: () => Config['settings'];
  readonly isListening: () => boolean;
  readonly isRngHealthy: () => boolean;
  readonly backend: { readonly custody: Pick<GuardedCustody, 'isReady' | 'outForMs'>; readonly store: Pick<KeyStore, 'isReady'> };
  readonly log: Log;
  readonly anchoring: Pick<Anchoring, 'isReachable'> | undefined;
  readonly integrity: Integrity;
  readonly evidence: Pick<Evidence, 'isReady'>;
  readonly clockGuard: ClockGuard;
  readonly auth: Auth;
}

/** The conditions of DESIGN §9, as they stand each time they are asked for. */
export function makeReadiness({ reloadFault, settings, isListening, isRngHealthy, backend, log, anchoring, integrity, evidence, clockGuard, auth }: ReadinessDeps): () => readonly Condition[] {
  const isAnchored = anchoring?.isReachable ?? (() => true);
  return () => [
    { name: 'config_loaded', isMet: reloadFault() === undefined, missing: reloadFault() },
    { name: 'listener_bound', isMet: isListening() },
    { name: 'backend_ready', isMet: backend.custody.isReady() && backend.store.isReady() && integrity.faultOf('store') === undefined, missing: integrity.faultOf('store') ?? outOf(backend) },
    { name: 'attestation_ready', isMet: settings()['security.attest_require'] !== 'required' || evidence.isReady(), missing: 'security.attest_require is required, and what holds the keys gives no evidence now' },
    { name: 'audit_ready', isMet: log.isReady() && isAnchored(), missing: integrity.faultOf('log') ?? integrity.faultOf('anchor') ?? (log.isReady() ? 'the anchor cannot be reached' : 'entries cannot be written') },
    { name: 'checkpoint_recent', isMet: log.isCheckpointRecent() },
    { name: 'rng_ok', isMet: isRngHealthy() },
    { name: 'clock_ok', isMet: clockGuard.isTrusted() },
    { name: 'auth_ready', isMet: auth.capabilities.isReady(), missing: auth.missing },
  ];
}

function outOf({ custody, store }: ReadinessDeps['backend']): string | undefined {
  const outForMs = custody.outForMs();
  if (outForMs !== undefined) return `what holds the keys has not answered for ${Math.round(outForMs / 1000)} s; verify goes on from known public keys`;
  return store.isReady() ? undefined : 'the key store takes no changes';
}
