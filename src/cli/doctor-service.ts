import type { Config } from '../config/load.ts';
import type { Finding } from './doctor-finding.ts';
import { address } from '../config/kinds.ts';
import { inWords } from './printable.ts';

const name = 'service';
const TIMEOUT_MS = 3000;
const ANY = new Set(['0.0.0.0', '::']);

interface Ready {
  readonly ready: boolean;
  readonly missing: readonly string[];
  readonly degraded: readonly string[];
}

/** The running service by its own word: `/readyz` on the metrics address. */
export async function checkService({ settings }: Config): Promise<readonly Finding[]> {
  const { host, port } = settings['metrics_addr'];
  // What listens everywhere is asked on loopback.
  const url = `http://${String(address.show({ host: ANY.has(host) ? 'localhost' : host, port }))}/readyz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
    const answer: unknown = await response.json();
    if (!isReady(answer)) return [{ name, level: 'wrong', says: `what answers at ${url} is no ron-kms`, advice: 'set metrics_addr to the one of the service' }];
    return [readiness(answer, url), ...answer.degraded.map(weakness), ...clockApart(response.headers.get('date'), settings['security.time_skew_tolerance_ms'])];
  } catch {
    return [{ name, level: 'wrong', says: `nothing answers at ${url}`, advice: 'start it with ron-kms serve, name its address with --metrics-addr, or leave it out with --offline' }];
  }
}

function readiness({ ready, missing }: Ready, url: string): Finding {
  return ready
    ? { name, level: 'ok', says: `ready, at ${url}` }
    : { name, level: 'wrong', says: `not ready: ${missing.join('; ')}`, advice: 'its log says more' };
}

/** A weakness as the service tells it already says what to do. */
function weakness(says: string): Finding {
  return { name, level: 'weak', says: `degraded: ${says}` };
}

/** The `Date` header is of whole seconds. */
function clockApart(date: string | null, toleranceMs: number): readonly Finding[] {
  const apartMs = date === null ? 0 : Date.now() - Date.parse(date);
  if (!(Math.abs(apartMs) > toleranceMs + 1000)) return [];
  return [{ name: 'clock', level: 'wrong', says: `this machine and the service are ${inWords(apartMs)} apart`, advice: 'synchronise both: tokens are held against the clock of the service' }];
}

function isReady(answer: unknown): answer is Ready {
  return typeof answer === 'object' && answer !== null && 'ready' in answer && 'missing' in answer && Array.isArray(answer.missing) && 'degraded' in answer && Array.isArray(answer.degraded);
}
