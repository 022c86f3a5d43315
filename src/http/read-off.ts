import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';

const LARGE_BYTES = 64 * 1024;
const PATIENCE_MS = 1000;

/**
 * Reads the rest of a large body and forgets it, for a while. Closing a connection with bytes unread resets it,
 * and the refusal could be lost with it before the caller has read it (RFC 9112 §9.6).
 */
export async function readOff(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed || !isLarge(request)) return;
  request.resume();
  const patience = AbortSignal.timeout(PATIENCE_MS);
  await Promise.race([once(request, 'end', { signal: patience }), once(request, 'close', { signal: patience })]).catch(() => undefined);
}

function isLarge({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > LARGE_BYTES;
}
