import type { Macaroon } from '../../core/macaroon/codec.ts';
import type { Capabilities } from '../../ports/capabilities.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Revocations } from '../auth-keyset/revocations.ts';
import { createHash } from 'node:crypto';
import { KmsError } from '../../core/errors.ts';
import { postJson } from '../outbound/post-json.ts';

export interface IntrospectDeps {
  readonly url: string;
  readonly clock: Clock;
  readonly revocations: { value(): Revocations; isCurrent(): boolean };
}

interface Answer {
  readonly isActive: Promise<boolean>;
  readonly staleAtNs: bigint;
}

/** DESIGN §5: cached 5 s at most. */
const CACHED_NS = 5_000_000_000n;
const CACHE_ENTRIES_MAX = 10_000;
const DEADLINE_MS = 2000;
const ANSWER_BYTES_MAX = 4096;

/** `auth.mode = "introspect"`: another service says whether a token is active; its caveats are still cleared here. */
export function createIntrospectCapabilities({ url, clock, revocations }: IntrospectDeps): Capabilities {
  const answers = new Map<string, Answer>();
  let isReachable = true;

  const ask = async (token: string): Promise<boolean> => {
    try {
      const isActive = await introspect(url, token);
      isReachable = true;
      return isActive;
    } catch (cause) {
      isReachable = false;
      throw new KmsError('AuthUnavailable', { cause });
    }
  };

  const isActive = async (token: string): Promise<boolean> => {
    const name = createHash('sha256').update(token).digest('base64');
    const nowNs = clock.monotonicNs();
    const known = answers.get(name);
    if (known !== undefined && known.staleAtNs > nowNs) return known.isActive;
    if (answers.size >= CACHE_ENTRIES_MAX) dropStale(answers, nowNs);
    // Counted from the asking: the answer is never older than that. Concurrent requests share one question.
    const answer = { isActive: ask(token), staleAtNs: nowNs + CACHED_NS };
    answers.set(name, answer);
    answer.isActive.catch(() => answers.delete(name));
    return answer.isActive;
  };

  return {
    async vouch(token, macaroon, identity) {
      if (!(await isActive(token))) throw new KmsError('NoCapability', { status: 401, hint: 'the token is not active' });
      if (revocations.value().covers(identity)) throw new KmsError('NoCapability', { status: 401, hint: 'the token is revoked' });
      return (position) => prefixName(macaroon, position);
    },
    isReady: () => isReachable && revocations.isCurrent(),
  };
}

async function introspect(url: string, token: string): Promise<boolean> {
  const answer = await postJson(url, JSON.stringify({ token }), { deadlineMs: DEADLINE_MS, answerBytesMax: ANSWER_BYTES_MAX });
  if (!('active' in answer) || typeof answer.active !== 'boolean') throw new Error('introspection answered something else');
  return answer.active;
}

/** Stands in for the chain value, which only a holder of the root key can compute: the same for every narrowing. */
function prefixName({ identifier, caveats }: Macaroon, position: number): string {
  const hash = createHash('sha256').update(identifier);
  for (const { id } of caveats.slice(0, position + 1)) hash.update(`\0${id.length}\0`).update(id);
  return hash.digest('base64');
}

function dropStale(answers: Map<string, Answer>, nowNs: bigint): void {
  for (const [name, { staleAtNs }] of answers) if (staleAtNs <= nowNs) answers.delete(name);
  if (answers.size >= CACHE_ENTRIES_MAX) answers.clear();
}
