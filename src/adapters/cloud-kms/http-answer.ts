import { AnswerStatus, postJson } from '../outbound/post-json.ts';
import { CloudFault } from './cloud-kms.ts';

const ANSWER_BYTES_MAX = 64 * 1024;
const INVALID = 400;
const TOO_MANY = 429;
const BUSY: ReadonlySet<number> = new Set([TOO_MANY, 503]);

/** Asks a key service over HTTP; undefined where it says that what it was given is invalid. */
export async function askKeyService(name: string, url: string, body: object, { deadlineMs, headers }: { readonly deadlineMs: number; readonly headers: Readonly<Record<string, string>> }): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    return { ...await postJson(url, JSON.stringify(body), { deadlineMs, answerBytesMax: ANSWER_BYTES_MAX, headers }) };
  } catch (fault) {
    if (!(fault instanceof AnswerStatus)) throw new CloudFault('gone', `${name}: ${fault instanceof Error ? fault.message : 'no answer'}`, { cause: fault });
    const { status, retryAfterS } = fault;
    if (status === INVALID) return undefined;
    if (BUSY.has(status)) throw new CloudFault('busy', `${name} answered ${status}: it has too many calls`, { retryAfterS, cause: fault });
    if (status > 500) throw new CloudFault('gone', `${name} answered ${status}`, { cause: fault });
    throw new CloudFault('refused', `${name} answered ${status}: this service has no permission for the key, or there is no such key (region, project, mount)`, { cause: fault });
  }
}

/** A member of an answer that is base64, decoded. */
export function bytesIn(name: string, value: unknown): Buffer {
  if (typeof value !== 'string' || value === '') throw new CloudFault('gone', `${name} gave an answer without what was asked for`);
  return Buffer.from(value, 'base64');
}
