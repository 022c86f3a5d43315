import type { KeySpec } from '../algorithm/table.ts';
import type { VerifyMode } from '../bundle/modes.ts';
import { createHash } from 'node:crypto';
import { satisfiesPostQuantum } from '../algorithm/table.ts';
import { isLooser } from '../bundle/modes.ts';
import { KmsError } from '../errors.ts';

/** What the operator set for everyone (DESIGN §6, `pq.*`). */
export interface PqStage {
  readonly produceHybrid: boolean;
  readonly verifyMode: VerifyMode;
  /** 0 to 100: the share of tenants that the stage is rolled out to. */
  readonly rolloutPercent: number;
}

/** What the operator set for one tenant (`tenants.<name>.*`). */
export interface TenantRules {
  readonly verifyMode?: VerifyMode;
  readonly produceHybrid?: boolean;
  /** Lets keys without a post-quantum part work under mode `and`; under `pq_only` nothing can. */
  readonly classicalOk?: boolean;
}

export interface PqDecision {
  readonly mode: VerifyMode;
  readonly produceHybrid: boolean;
  readonly classicalOk: boolean;
}

const CLASSICAL: Pick<PqStage, 'produceHybrid' | 'verifyMode'> = { produceHybrid: false, verifyMode: 'or' };

/** True when `SHA-256(tenant)` as a big-endian integer, mod 100, is below the percentage. */
function isRolledOut(tenant: string, rolloutPercent: number): boolean {
  if (rolloutPercent <= 0 || rolloutPercent >= 100) return rolloutPercent >= 100;
  const digest = createHash('sha256').update(tenant, 'utf8').digest('hex');
  return BigInt(`0x${digest}`) % 100n < BigInt(rolloutPercent);
}

/**
 * The tenant's rules, else the stage where it is rolled out, else classical. A mode that an Ed25519
 * signature alone cannot satisfy makes hybrid production follow: nothing is signed that would not verify.
 */
export function decidePq(tenant: string, stage: PqStage, rules: TenantRules = {}): PqDecision {
  const { produceHybrid, verifyMode } = isRolledOut(tenant, stage.rolloutPercent) ? stage : CLASSICAL;
  const mode = rules.verifyMode ?? verifyMode;
  return { mode, produceHybrid: (rules.produceHybrid ?? produceHybrid) || mode !== 'or', classicalOk: rules.classicalOk ?? false };
}

/** The mode for one request: the decided one, or the stricter one that it asks for; a looser one is refused. */
export function resolveMode(decided: VerifyMode, requested: VerifyMode | undefined): VerifyMode {
  if (requested === undefined) return decided;
  if (isLooser(requested, decided)) throw new KmsError('PqPolicy', { hint: 'a request may ask for a stricter mode, never a looser one; pq.verify_mode or tenants.<name>.verify_mode sets it' });
  return requested;
}

/** Refuses a key that cannot satisfy the mode: under `pq_only` and `and` it needs a post-quantum part. */
export function requirePostQuantum(spec: KeySpec, mode: VerifyMode, classicalOk: boolean): void {
  if (mode === 'or' || satisfiesPostQuantum(spec) || (mode === 'and' && classicalOk)) return;
  throw new KmsError('PqPolicy', { hint: 'this key has no post-quantum part; tenants.<name>.verify_mode = "or" or, under mode and, tenants.<name>.classical_ok = true allows it' });
}

/** Whether both signatures are made: the decided answer, or more where the request raises it; less is refused. */
export function resolveHybrid(decided: boolean, requested: boolean | undefined): boolean {
  if (requested === false && decided) throw new KmsError('PqPolicy', { hint: 'a request may raise hybrid production, never lower it; pq.produce_hybrid or tenants.<name>.produce_hybrid sets it' });
  return decided || requested === true;
}
