import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:http';

type Input = Readonly<Record<string, any>>;
/** Answers one question: with a JSON value, or by what it does to the response. */
export type PolicyAnswers = (input: Input, response: ServerResponse) => unknown;

/** A policy service in the form that OPA documents for its Data API: `POST /v1/data/<path>` with `{input}` gives `{result}`. */
export interface PolicyServer {
  readonly url: string;
  /** What it was asked so far. */
  readonly asked: Input[];
  /** The headers of each question. */
  readonly headers: IncomingHttpHeaders[];
  /** How it answers from now on. */
  answer(answers: PolicyAnswers): void;
  /** Closes its port and every connection, as a crash does. */
  crash(): Promise<void>;
  /** Listens there again. */
  comeBack(): Promise<void>;
}

const PATH = '/v1/data/kms/decision';

const allowAll: PolicyAnswers = () => ({ result: { allow: true } });

export async function startPolicyServer(): Promise<PolicyServer> {
  let answers = allowAll;
  const asked: Input[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: Input };
    if (request.method !== 'POST' || request.url !== PATH) {
      response.writeHead(404).end();
      return;
    }
    asked.push(input);
    headers.push(request.headers);
    const answer = answers(input, response);
    if (response.headersSent || response.destroyed || answer === NOTHING) return;
    response.writeHead(200, { 'content-type': 'application/json' }).end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  };
  const server = createServer((request, response) => { handle(request, response).catch(() => response.destroy()); });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  return {
    url: `http://127.0.0.1:${port}${PATH}`, asked, headers,
    answer(next) { answers = next; },
    async crash() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    async comeBack() { await listen(port); },
  };
}

/** The handler answers by itself, or never. */
export const NOTHING = Symbol('nothing');
