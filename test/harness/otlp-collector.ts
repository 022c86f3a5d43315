import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:http';

export interface CollectedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2 is an error. */
  readonly statusCode: number | undefined;
}

/** Takes traces as OTLP/HTTP in JSON, as its specification writes them. */
export interface OtlpCollector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  /** Every body, as it came. */
  readonly bodies: string[];
  /** Answers with this from now on. */
  answer(status: number): void;
  stop(): Promise<void>;
}

interface Wire {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly {
    name: string; traceId: string; spanId: string; parentSpanId?: string; attributes: { key: string; value: Record<string, unknown> }[]; status?: { code?: number };
  }[] }[] }[];
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = [];
  const bodies: string[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks).toString();
      bodies.push(body);
      if (status === 200) {
        for (const { scopeSpans } of (JSON.parse(body) as Wire).resourceSpans) {
          for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
            spans.push({
              name: span.name, traceId: span.traceId, spanId: span.spanId, parentSpanId: span.parentSpanId, statusCode: span.status?.code,
              attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
            });
          }
        }
      }
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`, spans, bodies,
    answer: (next) => { status = next; },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
