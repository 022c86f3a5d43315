import type { KmsClient } from './client.ts';
import type { CallOptions } from './transport.ts';
import type { Key, VerifyAnswer, VerifyBody, Version } from './wire.ts';
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { KmsClientError } from './errors.ts';

export interface VerifierOptions {
  /** How long what is known of a key is good while the service is out; 5 minutes when left out. */
  readonly ttlMs?: number;
  /** For the service to answer, before it is done without; 1 s when left out. */
  readonly patienceMs?: number;
  /** Keys that are remembered, at most; 1,000 when left out. */
  readonly keysMax?: number;
}

/** `fromCache`: the service was out, and nothing it would say now is in this answer. */
export type VerifierAnswer = VerifyAnswer & { readonly fromCache: boolean };

export interface Verifier {
  /** As `client.verify`; while the service is out, from the public keys that it gave before, which the answer says. */
  verify(body: VerifyBody, call?: CallOptions): Promise<VerifierAnswer>;
  /** Remembers these keys before anything of them is verified. Needs `kms:read`. */
  learn(kids: readonly string[], call?: CallOptions): Promise<void>;
}

type Mode = VerifyAnswer['details']['mode'];

/** What the service said of a key, and when. */
interface Known {
  readonly key: Key;
  readonly atMs: number;
}

const TTL_MS = 300_000;
const PATIENCE_MS = 1000;
const KEYS_MAX = 1000;
/** After it was found to be out, for how long nobody asks again. */
const QUIET_MS = 500;
/** As many versions as the service tries of a key. */
const VERSIONS_MAX = 64;
const MODES: readonly Mode[] = ['or', 'pq_only', 'and'];
/** It is not there, or does without what it would need. A refusal of any other kind is an answer. */
const OUT: ReadonlySet<string> = new Set(['Unreachable', 'DeadlineExceeded', 'StoreUnavailable', 'AuditUnavailable', 'AuthUnavailable', 'Timeout']);

/**
 * Verifies with the service, and without it while it is out: restarted, unreachable, without its backend. Then an answer is
 * as old as its `cache_age_ms`: a key that was disabled, a token that was revoked since then, it does not know of.
 */
export function createVerifier(client: Pick<KmsClient, 'verify' | 'getKey'>, { ttlMs = TTL_MS, patienceMs = PATIENCE_MS, keysMax = KEYS_MAX }: VerifierOptions = {}): Verifier {
  /** By the kid without its version; in the order of their learning. */
  const known = new Map<string, Known>();
  /** The mode that the service last verified a key under. */
  const modes = new Map<string, Mode>();
  const learning = new Set<string>();
  let quietUntilMs = 0;

  const remember = async (kid: string, call?: CallOptions): Promise<void> => {
    const base = baseOf(kid);
    const key = await client.getKey(base, call);
    known.delete(base);
    known.set(base, { key, atMs: performance.now() });
    trim(known, keysMax);
  };

  /** Beside the answer, and not again before half of its time is over. A token without `kms:read` learns nothing. */
  const freshen = (kid: string): void => {
    const base = baseOf(kid);
    const age = performance.now() - (known.get(base)?.atMs ?? -Infinity);
    if (learning.has(base) || age < ttlMs / 2) return;
    learning.add(base);
    remember(base).catch(() => undefined).finally(() => learning.delete(base));
  };

  const ask = async (body: VerifyBody, call: CallOptions | undefined): Promise<VerifierAnswer> => {
    const answer = await client.verify(body, { timeoutMs: patienceMs, ...call });
    for (const kid of kidsOf(body)) {
      modes.delete(baseOf(kid));
      modes.set(baseOf(kid), answer.details.mode);
      trim(modes, keysMax);
      freshen(kid);
    }
    return { ...answer, fromCache: false };
  };

  const fromCache = (body: VerifyBody): VerifierAnswer | undefined => {
    const nowMs = performance.now();
    const checked: { alg: string; kid: string; ok: boolean }[] = [];
    let ageMs = 0;
    let strictest: Mode = 'or';
    let isSatisfied = false;
    for (const kid of kidsOf(body)) {
      const found = known.get(baseOf(kid));
      if (found === undefined || nowMs - found.atMs > ttlMs) return undefined;
      ageMs = Math.max(ageMs, nowMs - found.atMs);
      const mode = stricter(modes.get(baseOf(kid)) ?? 'and', body.policy?.mode ?? 'or');
      strictest = stricter(strictest, mode);
      const outcome = checkKey(found.key, kid, mode, body);
      if (outcome === undefined) return undefined;
      checked.push(...outcome.checked);
      isSatisfied ||= outcome.isSatisfied;
    }
    return { ok: isSatisfied, details: { mode: strictest, checked, degraded: true }, cache_age_ms: Math.round(ageMs), fromCache: true };
  };

  return {
    async verify(body, call) {
      const isQuiet = performance.now() < quietUntilMs;
      const early = isQuiet ? fromCache(body) : undefined;
      if (early !== undefined) return early;
      try {
        return await ask(body, call);
      } catch (fault) {
        if (!(fault instanceof KmsClientError) || !OUT.has(fault.code)) throw fault;
        quietUntilMs = performance.now() + QUIET_MS;
        const answer = fromCache(body);
        if (answer === undefined) throw fault;
        return answer;
      }
    },
    async learn(kids, call) {
      for (const kid of kids) await remember(kid, call);
    },
  };
}

/** Undefined: nothing can be said of it without the service, which has rules for what is asked. */
function checkKey(key: Key, kid: string, mode: Mode, body: VerifyBody): { readonly checked: VerifyAnswer['details']['checked']; readonly isSatisfied: boolean } | undefined {
  const message = messageOf(key, body);
  const algs = key.alg.split('+');
  if (message === undefined || body.context_b64 !== undefined || !algs.every((alg) => alg === 'ed25519' || alg === 'ml-dsa')) return undefined;
  if (mode !== 'or' && !algs.includes('ml-dsa')) return undefined;
  const isFitting = body.sigs.length > 0 && new Set(body.sigs.map(({ alg }) => alg)).size === body.sigs.length
    && body.sigs.every(({ alg, parameter_set: parameterSet }) => (algs as readonly string[]).includes(alg) && (parameterSet === undefined || (alg === 'ml-dsa' && parameterSet === key.parameter_set)));
  const versions = versionsOf(key, kid);
  if (!isFitting || versions.length === 0) return undefined;

  const checked: { alg: string; kid: string; ok: boolean }[] = [];
  for (const version of versions) {
    const valid = new Set<string>();
    for (const { alg, signature_b64: signature } of body.sigs) {
      const ok = holds(version, alg, message, Buffer.from(signature, 'base64'));
      if (ok === undefined) return undefined;
      checked.push({ alg, kid: version.kid, ok });
      if (ok) valid.add(alg);
    }
    if (satisfies(mode, algs, valid)) return { checked, isSatisfied: true };
  }
  return { checked, isSatisfied: false };
}

/** Those that verify: the named one, else newest first. */
function versionsOf({ versions }: Key, kid: string): readonly Version[] {
  const [, number] = kid.split('#v');
  const named = number === undefined ? versions.toSorted((a, b) => b.version - a.version) : versions.filter(({ version }) => String(version) === number);
  return named.filter(({ state }) => state !== 'disabled').slice(0, VERSIONS_MAX);
}

/** What is signed. The digest of a payload is not worked out here: Node has no BLAKE3. */
function messageOf({ input }: Key, { payload_b3: digest, payload_b64: payload }: VerifyBody): Buffer | undefined {
  if (input === 'b3') return digest === undefined || payload !== undefined ? undefined : Buffer.from(digest, 'hex');
  return payload === undefined || digest !== undefined ? undefined : Buffer.from(payload, 'base64');
}

/** Undefined where this Node does not know the algorithm (ML-DSA before 24.6). */
function holds({ public: parts }: Version, alg: string, message: Buffer, signature: Buffer): boolean | undefined {
  const pem = parts.find((part) => part.alg === alg)?.spki_pem;
  if (pem === undefined) return undefined;
  try {
    return verifySignature(undefined, message, createPublicKey(pem), signature);
  } catch {
    return undefined;
  }
}

function satisfies(mode: Mode, algs: readonly string[], valid: ReadonlySet<string>): boolean {
  if (mode === 'and') return algs.every((alg) => valid.has(alg));
  return mode === 'pq_only' ? valid.has('ml-dsa') : valid.size > 0;
}

function stricter(a: Mode, b: Mode): Mode {
  return MODES.indexOf(a) > MODES.indexOf(b) ? a : b;
}

function kidsOf({ kid, kid_set: kids }: VerifyBody): readonly string[] {
  return kids ?? (kid === undefined ? [] : [kid]);
}

/** Those that came first go first. */
function trim(map: Map<string, unknown>, max: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= max) break;
    map.delete(oldest);
  }
}

function baseOf(kid: string): string {
  return kid.split('#')[0] ?? kid;
}
