import type { KmsError, RejectReason } from '../../core/errors.ts';
import { rejectReasons } from '../../core/errors.ts';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  operation(op: string, alg: string, result: string, seconds: number): void;
  rejected(refusal: Pick<KmsError, 'code' | 'reason' | 'queue'>): void;
  /** Counts what was refused because so much was there already. */
  turnedAway(queue: string): void;
  /** Counts that evidence was asked for, and whether there was any. */
  attested(backend: string, result: string): void;
  /** Counts an event that has a counter of its own. */
  event(event: string): void;
  /** Prometheus text format, and its content type. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** From a hot Ed25519 signature to the longest deadline. */
const LATENCY_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The children of one op and algorithm. */
interface Children {
  readonly latency: { observe(seconds: number): void };
  readonly byResult: Map<string, { inc(): void }>;
}

/** A number that is read when it is asked for; with labels, one for each of their values. */
export type NumberRow = { readonly help: string; /** It only goes up: a counter, else a gauge. */ readonly isCounter?: boolean } & (
  | { readonly read: () => number }
  | { readonly label: string; readonly read: () => Readonly<Record<string, number>> }
  | { readonly labels: readonly string[]; readonly read: () => Iterable<readonly [values: readonly string[], number: number]> }
);

/** Events that someone is to be woken for, and what counts them. */
const eventCounters: Readonly<Record<string, { readonly name: string; readonly help: string }>> = {
  tls_handshake_failed: { name: 'tls_handshake_failures_total', help: 'TLS handshakes that came to nothing, and client certificates that nobody vouches for.' },
  audit_integrity_failed: { name: 'kms_audit_integrity_failed_total', help: 'What the log, the store or the anchor was found to be at odds with.' },
};

/** What can be full (`busy_rejections_total`). */
const QUEUES = ['connections', 'sign', 'verify', 'audit', 'records'];

export function createMetrics(rows: Readonly<Record<string, NumberRow>>): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const ops = new Counter({ name: 'kms_ops_total', help: 'Operations by how they ended.', labelNames: ['op', 'alg', 'result'], registers });
  const latency = new Histogram({ name: 'kms_latency_seconds', help: 'From the authenticated request to its answer.', labelNames: ['op', 'alg'], buckets: LATENCY_BUCKETS_S, registers });
  const rejects = new Counter({ name: 'kms_reject_total', help: 'Refusals by their ground.', labelNames: ['reason'], registers });
  const authFailures = new Counter({ name: 'auth_failures_total', help: 'Capabilities that were not good for what was asked.', labelNames: ['service'], registers });
  const busy = new Counter({ name: 'busy_rejections_total', help: 'What was refused because so much was there already.', labelNames: ['queue'], registers });
  const attests = new Counter({ name: 'kms_attest_total', help: 'Evidence of key residency that was asked for.', labelNames: ['backend', 'result'], registers });
  const events = new Map(Object.entries(eventCounters).map(([event, { name, help }]) => [event, new Counter({ name, help, registers })]));
  for (const [name, row] of Object.entries(rows)) registry.registerMetric(metricOf(name, row));
  // A body that is too large says which of its caps it met.
  for (const reason of new Set<RejectReason>([...Object.values(rejectReasons), 'decompress_cap', 'ratio_cap'])) rejects.inc({ reason }, 0);
  authFailures.inc({ service: 'ron-kms' }, 0);
  for (const queue of QUEUES) busy.inc({ queue }, 0);

  // Looking a child up by its labels costs more than counting: each is looked up once.
  const children = new Map<string, Map<string, Children>>();
  const childrenOf = (op: string, alg: string): Children =>
    once(once(children, op, () => new Map<string, Children>()), alg, () => ({ latency: latency.labels(op, alg), byResult: new Map() }));

  return {
    operation(op, alg, result, seconds) {
      const { latency: histogram, byResult } = childrenOf(op, alg);
      once(byResult, result, () => ops.labels(op, alg, result)).inc();
      histogram.observe(seconds);
    },
    rejected({ code, reason, queue }) {
      if (queue !== undefined) busy.inc({ queue });
      if (reason !== undefined) rejects.inc({ reason });
      if (code === 'NoCapability') authFailures.inc({ service: 'ron-kms' });
    },
    turnedAway: (queue) => busy.inc({ queue }),
    attested: (backend, result) => attests.inc({ backend, result }),
    event(event) {
      events.get(event)?.inc();
    },
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function once<T>(children: Map<string, T>, name: string, make: () => T): T {
  let child = children.get(name);
  if (child === undefined) children.set(name, (child = make()));
  return child;
}

function metricOf(name: string, row: NumberRow): Counter | Gauge {
  const about = { name, help: row.help, labelNames: labelsOf(row), registers: [] };
  if (row.isCounter !== true) {
    return new Gauge({
      ...about,
      collect() {
        this.reset();
        for (const [labels, number] of valuesOf(row)) this.set(labels, number);
      },
    });
  }
  return new Counter({
    ...about,
    collect() {
      this.reset();
      for (const [labels, number] of valuesOf(row)) this.inc(labels, number);
    },
  });
}

function labelsOf(row: NumberRow): string[] {
  if ('labels' in row) return [...row.labels];
  return 'label' in row ? [row.label] : [];
}

function valuesOf(row: NumberRow): readonly (readonly [Readonly<Record<string, string>>, number])[] {
  if ('labels' in row) return Array.from(row.read(), ([values, number]) => [Object.fromEntries(row.labels.map((label, i) => [label, values[i] ?? ''])), number]);
  if ('label' in row) return Object.entries(row.read()).map(([value, number]) => [{ [row.label]: value }, number]);
  return [[{}, row.read()]];
}
