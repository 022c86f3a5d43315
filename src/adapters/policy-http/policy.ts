import type { Clock } from '../../ports/clock.ts';
import type { Policy, PolicyQuestion } from '../../ports/policy.ts';
import type { Telemetry } from '../../ports/telemetry.ts';
import type { Tracing } from '../../ports/tracing.ts';
import type { Verdict } from './verdict.ts';
import { hash } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import { createCircuit } from '../../core/circuit.ts';
import { KmsError } from '../../core/errors.ts';
import { tighten } from '../../core/policy/decision.ts';
import { reasonOf } from '../../core/reason.ts';
import { postJson } from '../outbound/post-json.ts';
import { verdictOf } from './verdict.ts';

interface HttpPolicyConfig {
  readonly url: string;
  readonly deadlineMs: number;
  /** Counted from the question; 0 asks each time. */
  readonly cacheTtlMs: number;
}

export interface HttpPolicyDeps {
  /** What the operator set: no answer is looser than it. */
  readonly own: Policy['own'];
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly chance: () => number;
  readonly telemetry: Pick<Telemetry, 'event'>;
  readonly tracing: Pick<Tracing, 'headers'>;
  /** Asked each time: a reload may change it. */
  readonly config: () => HttpPolicyConfig;
}

export interface HttpPolicy extends Policy {
  /** It is answered, as far as anybody has asked. */
  isReachable(): boolean;
}

interface Asked {
  readonly verdict: Promise<Verdict>;
  readonly atNs: bigint;
}

const ANSWER_BYTES_MAX = 16_384;
const CACHE_ENTRIES_MAX = 10_000;
const MS_NS = 1_000_000n;
const CIRCUIT = { failuresMax: 5, firstWaitMs: 500, longestWaitMs: 15_000 };

/** `policy.mode = "http"`: a policy service in the form of OPA's Data API (docs/runbooks/policy.md). */
export function createHttpPolicy({ own, clock, chance, telemetry, tracing, config }: HttpPolicyDeps): HttpPolicy {
  const circuit = createCircuit({ ...CIRCUIT, chance });
  /** In the order of the asking, so the oldest stand first. */
  const asked = new Map<string, Asked>();

  const ask = async (body: string, corrId: string, { url, deadlineMs }: HttpPolicyConfig): Promise<Verdict> => {
    const waitMs = circuit.enter(clock.monotonicNs());
    if (waitMs !== undefined) throw unavailable(waitMs);
    try {
      const verdict = verdictOf(await postJson(url, body, { deadlineMs, answerBytesMax: ANSWER_BYTES_MAX, headers: { 'x-corr-id': corrId, ...tracing.headers() } }));
      if (!circuit.isClosed()) telemetry.event('info', 'policy_reached_again');
      circuit.succeeded();
      return verdict;
    } catch (fault) {
      const wasClosed = circuit.isClosed();
      circuit.failed(clock.monotonicNs());
      if (wasClosed && !circuit.isClosed()) telemetry.event('error', 'policy_unreachable', { why: reasonOf(fault) });
      throw unavailable(undefined, fault);
    }
  };

  /** Those who ask the same at once share a question, and so do those who come while its answer is fresh. */
  const verdictFor = (question: PolicyQuestion): Promise<Verdict> => {
    const settings = config();
    const body = canonicalJson({ input: inputOf(question) });
    const name = hash('sha256', `${settings.url}\n${body}`, 'base64');
    const nowNs = clock.monotonicNs();
    const known = asked.get(name);
    if (known !== undefined && nowNs - known.atNs < BigInt(settings.cacheTtlMs) * MS_NS) return known.verdict;
    const verdict = ask(body, question.corrId, settings);
    asked.delete(name);
    asked.set(name, { verdict, atNs: nowNs });
    for (const oldest of asked.keys()) {
      if (asked.size <= CACHE_ENTRIES_MAX) break;
      asked.delete(oldest);
    }
    verdict.catch(() => {
      if (asked.get(name)?.verdict === verdict) asked.delete(name);
    });
    return verdict;
  };

  return {
    own,
    async decide(question) {
      const { isAllowed, decisionId, ...said } = await verdictFor(question);
      return { ...tighten(own(question.tenant), said), isAllowed, ...(decisionId !== undefined && { decisionId }) };
    },
    isReachable: circuit.isClosed,
  };
}

function unavailable(waitMs: number | undefined, cause?: unknown): KmsError {
  return new KmsError('PolicyUnavailable', { hint: 'policy.url gives no good answer; /healthz says more', retryAfterS: Math.ceil((waitMs ?? 0) / 1000) || 1, cause });
}

/** Absent facts are left out of it. */
function inputOf({ op, tenant, purpose, alg, kid, clientId, peer, labels, policyHints, requested }: PolicyQuestion): object {
  return {
    op, tenant, purpose, alg, kid,
    client_id: clientId, peer, labels, policy_hints: policyHints,
    requested: { mode: requested.mode, produce_hybrid: requested.produceHybrid },
  };
}
