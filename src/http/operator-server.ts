import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';

/** One line of `/readyz`: a condition of DESIGN §9, with what is missing when it does not hold. */
export interface Condition {
  readonly name: string;
  readonly isMet: boolean;
  readonly missing?: string | undefined;
}

export interface OperatorDeps {
  readonly conditions: () => readonly Condition[];
  /** What works, but weaker than it should; each in words. */
  readonly degraded: () => readonly string[];
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly version: () => Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** `/healthz`, `/readyz`, `/metrics` and `/version`, on an address of their own and without tokens. */
export function createOperatorServer({ conditions, degraded, metrics, version }: OperatorDeps): Server {
  const pages: Readonly<Record<string, () => Answer | Promise<Answer>>> = {
    '/healthz': () => json(200, { status: 'alive', degraded: [...missingOf(conditions()), ...degraded()] }),
    '/readyz': () => {
      const all = conditions();
      const isReady = all.every(({ isMet }) => isMet);
      return json(isReady ? 200 : 503, { ready: isReady, conditions: Object.fromEntries(all.map(({ name, isMet }) => [name, isMet])), missing: missingOf(all), degraded: degraded() });
    },
    '/metrics': async () => ({ status: 200, ...(await metrics()) }),
    '/version': () => json(200, version()),
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const page = request.method === 'GET' && Object.hasOwn(pages, path) ? pages[path] : undefined;
    const { status, contentType, text } = page === undefined ? json(404, { error: 'there is nothing here' }) : await page();
    response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' }).end(text);
  };

  return createServer({ maxHeaderSize: 8192, requestTimeout: 5000 }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
}

function json(status: number, value: object): Answer {
  return { status, contentType: 'application/json; charset=utf-8', text: `${JSON.stringify(value)}\n` };
}

function missingOf(conditions: readonly Condition[]): readonly string[] {
  return conditions.filter(({ isMet }) => !isMet).map(({ name, missing }) => (missing === undefined ? name : `${name}: ${missing}`));
}
