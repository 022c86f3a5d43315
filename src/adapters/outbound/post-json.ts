import { reasonOf } from '../../core/reason.ts';
import { parseStrictJson } from '../../core/strict-json.ts';

export interface PostLimits {
  /** For the whole of it, the answer read. */
  readonly deadlineMs: number;
  readonly answerBytesMax: number;
  /** Besides those of JSON. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** It answered, and with something else than 200. */
export class AnswerStatus extends Error {
  readonly status: number;
  /** In seconds, where it said so. */
  readonly retryAfterS: number | undefined;

  constructor({ status, headers }: Response) {
    super(`it answered ${status}`);
    this.status = status;
    const seconds = Number(headers.get('retry-after') ?? NaN);
    this.retryAfterS = Number.isInteger(seconds) && seconds >= 0 ? seconds : undefined;
  }
}

/**
 * Asks another service: one JSON object there, one back. Throws on anything but a 200 with an object in time: redirects lead
 * elsewhere than the operator said, and a field that stands twice may be read differently by whoever checks it.
 */
export async function postJson(url: string, body: string, { deadlineMs, answerBytesMax, headers }: PostLimits): Promise<object> {
  const response = await connect(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body,
    redirect: 'error',
    signal: AbortSignal.timeout(deadlineMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new AnswerStatus(response);
  }
  return objectOf(await read(response, answerBytesMax));
}

/** `fetch` says only that it failed; why stands behind it. */
async function connect(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (fault) {
    throw new Error(fault instanceof Error && fault.name === 'TimeoutError' ? 'it did not answer in time' : `it cannot be reached: ${reasonOf((fault as Error).cause ?? fault)}`, { cause: fault });
  }
}

function objectOf(text: Buffer): object {
  try {
    return parseStrictJson(text);
  } catch (fault) {
    throw new Error('its answer is not a JSON object, or one with a field twice', { cause: fault });
  }
}

async function read({ body }: Response, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the rest.
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > bytesMax) throw new Error('its answer is too large');
  }
  return Buffer.concat(chunks, length);
}
