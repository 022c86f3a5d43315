import type { KeySpec } from '../algorithm/table.ts';
import type { VerifyMode } from '../bundle/modes.ts';
import { createHash } from 'node:crypto';
import { satisfiesPostQuantum } from '../algorithm/table.ts';
import { isLooser } from '../bundle/modes.ts';
import { KmsError } from '../errors.ts';

/** What the operator set for everyone (DESIGN §6, `pq.*`). */
interface PqStage {
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
  readonly attestRequire?: AttestRequire;
  readonly quotas?: Quotas;
}

export const attestRequirements = ['never', 'if-available', 'required'] as const;
type AttestRequire = (typeof attestRequirements)[number];

/** What a tenant may use at most; what is left out is not limited. */
export interface Quotas {
  /** Operations a second. */
  readonly rps?: number;
  /** Operations at once. */
  readonly inFlight?: number;
  /** Keys there are, destroyed ones too. */
  readonly keys?: number;
}

/** What the operator set, for everyone and for each tenant. */
export interface OwnRules {
  readonly stage: PqStage;
  readonly attestRequire: AttestRequire;
  readonly tenants: ReadonlyMap<string, TenantRules>;
}

export interface Decision {
  readonly mode: VerifyMode;
  readonly produceHybrid: boolean;
  readonly classicalOk: boolean;
  /** Nothing is signed without evidence of where the key resides. */
  readonly isEvidenceRequired: boolean;
  /** Who asks for it gets it, where there is any. */
  readonly isEvidenceOffered: boolean;
  readonly quotas: Quotas;
}

/** What somebody else asks for on top. */
export type Tightening = Partial<Pick<Decision, 'mode' | 'produceHybrid' | 'isEvidenceRequired' | 'quotas'>>;

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
 * Of evidence a tenant's rule asks for more than the instance's, never for less.
 */
export function decideOwn(tenant: string, { stage, attestRequire, tenants }: OwnRules): Decision {
  const rules = tenants.get(tenant) ?? {};
  const { produceHybrid, verifyMode } = isRolledOut(tenant, stage.rolloutPercent) ? stage : CLASSICAL;
  const mode = rules.verifyMode ?? verifyMode;
  return {
    mode,
    produceHybrid: (rules.produceHybrid ?? produceHybrid) || mode !== 'or',
    classicalOk: rules.classicalOk ?? false,
    isEvidenceRequired: attestRequire === 'required' || rules.attestRequire === 'required',
    isEvidenceOffered: (rules.attestRequire ?? attestRequire) !== 'never',
    quotas: rules.quotas ?? {},
  };
}

/** The stricter of the two in each respect: what is looser in the second says nothing. */
export function tighten(own: Decision, { mode = own.mode, produceHybrid = false, isEvidenceRequired = false, quotas = {} }: Tightening): Decision {
  const stricter = isLooser(mode, own.mode) ? own.mode : mode;
  return {
    mode: stricter,
    produceHybrid: own.produceHybrid || produceHybrid || stricter !== 'or',
    classicalOk: own.classicalOk,
    isEvidenceRequired: own.isEvidenceRequired || isEvidenceRequired,
    isEvidenceOffered: own.isEvidenceOffered,
    quotas: Object.fromEntries(QUOTA_NAMES.flatMap((name) => {
      const limits = [own.quotas[name], quotas[name]].filter((limit) => limit !== undefined);
      return limits.length === 0 ? [] : [[name, Math.min(...limits)]];
    })),
  };
}

const QUOTA_NAMES = ['rps', 'inFlight', 'keys'] as const;

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
