import type { VersionRecord } from '../core/key/record.ts';
import type { Clock } from '../ports/clock.ts';
import type { Claim } from '../ports/log-signer.ts';
import type { PolicyAnswer } from '../ports/policy.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { createHash } from 'node:crypto';
import { KmsError } from '../core/errors.ts';
import { reasonOf } from '../core/reason.ts';
import { formatRfc3339 } from '../core/time.ts';

/** What a client gets, and the log keeps the hash of. */
export interface Attestation {
  readonly class: string;
  readonly evidence: Buffer;
}

/** Evidence of where keys are held (DESIGN §7). */
export interface Evidence {
  /**
   * For a signature by this version; before custody is touched. Undefined where none is wanted, or none is to be had and none is required.
   * Asked for, it is fresh and carries the digest of what is signed; else it is that of this session, shared by its signatures.
   * Throws `AttestationMissing` where it is required.
   */
  forSigning(version: VersionRecord, digest: Buffer, how: { readonly isAsked: boolean; readonly decision: Pick<PolicyAnswer, 'isEvidenceRequired' | 'isEvidenceOffered'> }): Promise<Attestation | undefined>;
  /** The device gave evidence when it was last asked. */
  isReady(): boolean;
  /** Asks the device now and then, so that readiness is no guess; to be called about once a second. Never throws. */
  tick(): Promise<void>;
}

export interface EvidenceDeps {
  /** Throws when the device does not give it. */
  readonly attest: (claim: Claim) => Promise<Buffer>;
  /** The log and the store as they stand. */
  readonly standing: () => Pick<Claim, 'tree_size' | 'root_hash_b64' | 'generation'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Pick<Telemetry, 'attested' | 'event'>;
  readonly config: () => EvidenceConfig;
}

export interface EvidenceConfig {
  /** Classes of versions that the device here can speak for; none where there is no such device. */
  readonly given: ReadonlySet<string>;
  /** `security.attest_classes`: good enough where evidence is required. */
  readonly accepted: ReadonlySet<string>;
  /** Asked for and given at all, or required, by the instance's own rule. */
  readonly isRequired: boolean;
}

/** DESIGN §9. */
const DEADLINE_MS = 3000;
/** Evidence of a session is at most so old; a younger one is made while it is still good. */
const SESSION_MS = 60_000;
const RENEW_AFTER_MS = 40_000;
/** Behind a failure nobody waits for another. */
const RETRY_MS = 1000;
const SELF_CHECK_MS = 20_000;
const SESSIONS_MAX = 4096;
/** Fresh ones at a time: a device makes one after the other. */
const FRESH_MAX = 16;
const NONCE_BYTES = 32;
const MS_NS = 1_000_000n;

interface Session {
  readonly attestation: Attestation;
  readonly madeAtMs: number;
}

export function createEvidence({ attest, standing, clock, random, telemetry, config }: EvidenceDeps): Evidence {
  const sessions = new Map<string, Session>();
  const making = new Map<string, Promise<Attestation>>();
  let fresh = 0;
  let isGiven = true;
  let retryAtMs = 0;
  let checkAtMs = 0;
  const nowMs = (): number => Number(clock.monotonicNs() / MS_NS);

  /** Within the deadline, or not at all; what comes later is nobody's. */
  const ask = async (claim: Pick<Claim, 'class' | 'subject'>, nonce: Buffer): Promise<Buffer> => {
    if (!isGiven && nowMs() < retryAtMs) throw missing('the device that gives evidence did not answer, and is asked again by and by');
    let timer: NodeJS.Timeout | undefined;
    try {
      const evidence = await Promise.race([
        attest({ ...claim, ...standing(), nonce_b64: nonce.toString('base64'), made_at: formatRfc3339(clock.wallMs()) }),
        new Promise<never>((_resolve, reject) => { timer = setTimeout(() => reject(new Error(`no evidence within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS); }),
      ]);
      if (!isGiven) telemetry.event('info', 'evidence_back');
      isGiven = true;
      return evidence;
    } catch (fault) {
      if (isGiven) telemetry.event('error', 'evidence_missing', { why: reasonOf(fault) });
      isGiven = false;
      retryAtMs = nowMs() + RETRY_MS;
      throw missing('the device that holds the keys gives no evidence now', fault);
    } finally {
      clearTimeout(timer);
    }
  };

  const make = async (version: VersionRecord, nonce: Buffer): Promise<Attestation> => ({ class: version.attestationClass, evidence: await ask(about(version), nonce) });

  /** One at a time for a version: who comes meanwhile waits for the same. */
  const newSession = (version: VersionRecord): Promise<Attestation> => {
    const { kid } = version;
    const under = making.get(kid) ?? make(version, random.bytes(NONCE_BYTES)).then((attestation) => {
      sessions.delete(kid);
      sessions.set(kid, { attestation, madeAtMs: nowMs() });
      const [oldest] = sessions.keys();
      if (sessions.size > SESSIONS_MAX && oldest !== undefined) sessions.delete(oldest);
      return attestation;
    }).finally(() => making.delete(kid));
    making.set(kid, under);
    return under;
  };

  const ofSession = async (version: VersionRecord): Promise<Attestation> => {
    const session = sessions.get(version.kid);
    const ageMs = session === undefined ? Infinity : nowMs() - session.madeAtMs;
    if (session === undefined || ageMs > SESSION_MS) return newSession(version);
    if (ageMs > RENEW_AFTER_MS) newSession(version).catch(ignore);
    return session.attestation;
  };

  const freshFor = async (version: VersionRecord, nonce: Buffer): Promise<Attestation> => {
    if (fresh >= FRESH_MAX) throw new KmsError('Backpressure', { hint: 'too many ask for evidence of their own at once' });
    fresh++;
    try {
      return await make(version, nonce);
    } finally {
      fresh--;
    }
  };

  return {
    async forSigning(version, digest, { isAsked, decision: { isEvidenceRequired, isEvidenceOffered } }) {
      if (!isEvidenceRequired && !(isAsked && isEvidenceOffered)) return undefined;
      const { given, accepted } = config();
      const { attestationClass } = version;
      try {
        if (!given.has(attestationClass)) throw missing('security.attest_require, the tenant\'s attest_require or the policy asks for evidence, and there is none of how this version is held');
        if (isEvidenceRequired && !accepted.has(attestationClass)) throw missing(`security.attest_classes does not list ${attestationClass}, which is how this version is held`);
        const attestation = await (isAsked ? freshFor(version, digest) : ofSession(version));
        telemetry.attested('ok');
        return attestation;
      } catch (fault) {
        telemetry.attested('missing');
        if (isEvidenceRequired || !(fault instanceof KmsError) || fault.code !== 'AttestationMissing') throw fault;
        return undefined;
      }
    },
    isReady: () => config().given.size > 0 && isGiven,
    async tick() {
      const { given, isRequired } = config();
      if (given.size === 0 || !isRequired || nowMs() < checkAtMs || (!isGiven && nowMs() < retryAtMs)) return;
      checkAtMs = nowMs() + SELF_CHECK_MS;
      await ask({ class: 'self-check', subject: { log_keys: [] } }, random.bytes(NONCE_BYTES)).catch(() => { checkAtMs = 0; });
    },
  };
}

function about({ kid, attestationClass, publicParts }: VersionRecord): Pick<Claim, 'class' | 'subject'> {
  const hash = createHash('sha256');
  for (const { bytes } of publicParts) hash.update(bytes);
  return { class: attestationClass, subject: { kid, public_sha256: hash.digest('hex') } };
}

function missing(hint: string, cause?: unknown): KmsError {
  return new KmsError('AttestationMissing', { hint, cause });
}

function ignore(): void {}
