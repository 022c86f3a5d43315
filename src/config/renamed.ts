import type { ConfigPath } from './keys.ts';

interface Renamed {
  readonly to: ConfigPath;
  /** The version that no longer takes the old name: at least one minor version after the one that renamed it (DESIGN §13). */
  readonly endsWith: string;
}

/**
 * Settings under names that they had: read as the new ones, with a warning, until their end is there. These are as the design's
 * source document writes them, without their tables.
 */
export const renamedKeys: Readonly<Record<string, Renamed>> = {
  'amnesia': { to: 'service.amnesia', endsWith: '0.3.0' },
  'attest_require': { to: 'security.attest_require', endsWith: '0.3.0' },
  'sign_rate_limit_rps': { to: 'security.sign_rate_limit_rps', endsWith: '0.3.0' },
  'produce_hybrid': { to: 'pq.produce_hybrid', endsWith: '0.3.0' },
  'verify_mode': { to: 'pq.verify_mode', endsWith: '0.3.0' },
  'rollout_percent': { to: 'pq.rollout_percent', endsWith: '0.3.0' },
  'log_inputs': { to: 'observability.log_inputs', endsWith: '0.3.0' },
};

/** Of each setting that had one, its name before. */
export const formerNames: ReadonlyMap<ConfigPath, string> = new Map(Object.entries(renamedKeys).map(([from, { to }]) => [to, from]));
