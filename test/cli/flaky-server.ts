import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

export interface FlakyServer {
  readonly url: string;
  /** Every request so far. */
  readonly seen: Seen[];
  stop(): void;
}

/** What is done to one request. */
export type Act = (response: ServerResponse) => void;

/** A real HTTP server that does to its requests what it was told, in order, the last of it to all that follow. */
export async function startFlaky(...acts: readonly Act[]): Promise<FlakyServer> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const atMs = performance.now();
    void buffer(request).then((body) => {
      const act = acts[Math.min(seen.length, acts.length - 1)];
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body: body.toString(), atMs });
      act?.(response);
    }, () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export function answers(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Act {
  return (response) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}

/** A refusal as the service writes one. */
export function refuses(status: number, code: string, retryable: boolean, headers: Readonly<Record<string, string>> = {}): Act {
  return answers({ error: { code, message: `it is ${code}`, retryable, hint: 'try this', ts: '2026-01-01T00:00:00.000Z', request_id: 'r1' } }, status, headers);
}

export const hangsUp: Act = (response) => response.destroy();
export const saysNothing: Act = () => undefined;
