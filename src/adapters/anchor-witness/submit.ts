import type { AnchorProof } from '../../ports/anchor.ts';
import { readDecimal } from '../../../client/src/log/strict-text.ts';

/** What a witness said to one `add-checkpoint` (C2SP tlog-witness). */
export type WitnessAnswer =
  /** Signature lines, not yet believed. */
  | { readonly lines: string }
  /** The old size was another: this many entries it has seen. */
  | { readonly seenSize: number }
  /** It has seen another log under this origin. */
  | { readonly fault: string };

const SIZE_TYPE = 'text/x.tlog.size';
const ANSWER_MAX_BYTES = 65_536;

/** Why it gives no cosignature, for the operator. */
const refusals: Readonly<Record<number, string>> = {
  400: 'it takes the request for malformed',
  403: 'it trusts none of the keys that signed the checkpoint: give it the keys of this log',
  404: 'it does not know this log: give it the origin and the keys',
  429: 'it takes no more requests for now',
};

/** Sends one checkpoint. Throws when no answer comes, or none that says anything about the log. */
export async function submitCheckpoint(endpoint: string, oldSize: number, proof: AnchorProof, signal: AbortSignal): Promise<WitnessAnswer> {
  const hashes = await proof.consistencyFrom(oldSize);
  const lines = [`old ${oldSize}`, ...hashes.map((hash) => hash.toString('base64')), '', proof.note];
  const response = await post(endpoint, lines.join('\n'), signal);
  const text = await textOf(response);
  if (response.status === 200) return { lines: text };
  if (response.status === 409) return conflictOf(response, text, oldSize, proof.treeSize);
  // It has compared the old size before it looks at the proof: from there on its tree and ours part.
  if (response.status === 422) return { fault: `the log does not continue the ${oldSize} entries that the witness has seen` };
  throw new Error(`the witness answered ${response.status}: ${refusals[response.status] ?? 'it cannot serve'}`);
}

/**
 * A connection kept from last time may have been closed while we write: asked once more, on a new one. It may have
 * been heard the first time too; then the size has moved, and the witness says so.
 */
async function post(endpoint: string, body: string, signal: AbortSignal): Promise<Response> {
  const send = (): Promise<Response> => fetch(endpoint, { method: 'POST', headers: { 'content-type': 'text/plain; charset=utf-8' }, body, redirect: 'error', signal });
  try {
    return await send();
  } catch (fault) {
    if (signal.aborted) throw fault;
    return await send();
  }
}

/** One status for two findings: another size, which it then tells, or another root at the size sent. */
function conflictOf(response: Response, text: string, oldSize: number, treeSize: number): WitnessAnswer {
  const isSize = response.headers.get('content-type')?.split(';')[0]?.trim() === SIZE_TYPE;
  const seenSize = text.endsWith('\n') ? readDecimal(text.slice(0, -1)) : undefined;
  if (isSize && seenSize !== undefined && seenSize !== oldSize) return { seenSize };
  if (oldSize === treeSize && (!isSize || seenSize === oldSize)) return { fault: `the witness has seen another log of ${treeSize} entries under this origin` };
  throw new Error('the witness answered 409 without its size');
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_MAX_BYTES) throw new Error(`the witness answered more than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
