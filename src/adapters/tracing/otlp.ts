import type { Context, Span, TextMapGetter } from '@opentelemetry/api';
import type { ExportResult } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Telemetry } from '../../ports/telemetry.ts';
import type { Tracing } from '../../ports/tracing.ts';
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOffSampler, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { KmsError } from '../../core/errors.ts';

export interface OtlpTracingDeps {
  /** Of the collector, `/v1/traces` included. */
  readonly url: string;
  /** Of a hundred traces, how many are collected. */
  readonly percent: number;
  readonly version: string;
  /** The log's origin: which instance it is. */
  readonly instance: string;
  readonly telemetry: () => Pick<Telemetry, 'event'>;
}

/** A collector that is gone costs this much memory, and no more: spans beyond are dropped. */
const SPANS_WAITING_MAX = 2048;
const EXPORT_EVERY_MS = 1000;
const EXPORT_TIMEOUT_MS = 2000;
const CLOSE_TIMEOUT_MS = 1000;

/** Spans over OTLP/HTTP, JSON. They say what the log lines say, under the same redaction, and nothing else. */
export function createOtlpTracing({ url, percent, version, instance, telemetry }: OtlpTracingDeps): Tracing {
  // How many are collected is ours to say: a caller who wants all of its own collected gets its share.
  const share = new TraceIdRatioBasedSampler(percent / 100);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'ron-kms', 'service.version': version, 'service.instance.id': instance }),
    sampler: new ParentBasedSampler({ root: share, remoteParentSampled: share, remoteParentNotSampled: new AlwaysOffSampler() }),
    spanProcessors: [new BatchSpanProcessor({
      exporter: saying(new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS, concurrencyLimit: 2 }), telemetry),
      maxQueueSize: SPANS_WAITING_MAX, scheduledDelayMillis: EXPORT_EVERY_MS, exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    })],
  });
  const contexts = new AsyncLocalStorageContextManager().enable();
  context.setGlobalContextManager(contexts);
  const tracer = provider.getTracer('ron-kms', version);
  const propagator = new W3CTraceContextPropagator();

  const within = async <T>(name: string, kind: SpanKind, parent: Context, work: () => Promise<T>): Promise<T> => {
    const span = tracer.startSpan(name, { kind }, parent);
    try {
      return await contexts.with(trace.setSpan(parent, span), work);
    } catch (fault) {
      fail(span, fault);
      throw fault;
    } finally {
      span.end();
    }
  };

  return {
    operation: (op, { traceParent }, work) =>
      within(`kms.${op}`, SpanKind.SERVER, traceParent === undefined ? ROOT_CONTEXT : propagator.extract(ROOT_CONTEXT, { traceparent: traceParent }, headerGetter), work),
    part: (name, work) => within(name, SpanKind.INTERNAL, contexts.active(), work),
    note(fields) {
      const span = trace.getSpan(contexts.active());
      for (const [name, value] of Object.entries(fields)) if (value !== undefined) span?.setAttribute(`kms.${name}`, value);
    },
    headers() {
      const carrier: Record<string, string> = {};
      propagator.inject(contexts.active(), carrier, { set: (to, name, value) => { (to as Record<string, string>)[name] = value; } });
      return carrier;
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([provider.shutdown().catch(() => undefined), new Promise((resolve) => { timer = setTimeout(resolve, CLOSE_TIMEOUT_MS); })]);
      clearTimeout(timer);
      context.disable();
    },
  };
}

const headerGetter: TextMapGetter<Readonly<Record<string, string>>> = {
  keys: (carrier) => Object.keys(carrier),
  get: (carrier, name) => carrier[name],
};

/** By its code alone: what a fault says may be about secrets. */
function fail(span: Span, fault: unknown): void {
  const { code, status } = KmsError.from(fault);
  span.setAttribute('error.type', code);
  // A refusal that is the caller's own doing is no error of this service (OpenTelemetry's HTTP conventions).
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
}

/** Says when a collector does not take what it is given; the spans are gone then. */
function saying(exporter: SpanExporter, telemetry: () => Pick<Telemetry, 'event'>): SpanExporter {
  return {
    export(spans: ReadableSpan[], done: (result: ExportResult) => void) {
      exporter.export(spans, (result) => {
        if (result.code === ExportResultCode.FAILED) telemetry().event('warn', 'traces_not_taken', { spans: spans.length });
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    ...(exporter.forceFlush && { forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve() }),
  };
}
