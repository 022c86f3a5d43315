import type { VersionRecord } from '../../core/key/record.ts';
import type { OperationReport, RequestReport, Telemetry } from '../../ports/telemetry.ts';
import type { Tracing } from '../../ports/tracing.ts';
import type { LogLines } from './log-lines.ts';
import type { Metrics } from './metrics.ts';
import { KmsError } from '../../core/errors.ts';

type RedactLevel = 'hashes' | 'lengths' | 'none';

export interface TelemetryDeps {
  readonly metrics: Metrics;
  readonly log: LogLines;
  /** `observability.redact_level`: `none` shows the kid itself, `lengths` not even its hash. */
  /** `service.backend`. */
  readonly backend: string;
  readonly redactLevel: () => RedactLevel;
  readonly tracing: Pick<Tracing, 'note'>;
}

export function createTelemetry({ metrics, log, backend, redactLevel, tracing }: TelemetryDeps): Telemetry {
  return {
    operation(report) {
      metrics.operation(report.op, report.alg, report.result, report.latencyMs / 1000);
      if (report.refusal !== undefined) metrics.rejected(report.refusal);
      const fields = operationFields[redactLevel()](report);
      log.write(levelOf(report), fields);
      tracing.note(fields);
    },
    refused(report) {
      const { refusal, corrId, requestId, peer } = report;
      metrics.rejected(refusal);
      log.write(levelOf(report), { event: 'refused', result: refusal.code, corr_id: corrId, request_id: requestId, peer, reason: refusal.hint, fault: faultOf(refusal) });
    },
    turnedAway: metrics.turnedAway,
    attested: (result) => metrics.attested(backend, result),
    event(level, event, fields) {
      metrics.event(event);
      log.write(level, { event, ...fields });
    },
  };
}

type Fields = Readonly<Record<string, string | number | undefined>>;

/** The line of an operation (DESIGN §11), by how much it may say of the key. */
const operationFields: Readonly<Record<RedactLevel, (report: OperationReport) => Fields>> = {
  hashes: (report) => fieldsOf(report, report.version?.kidHash, report.version?.version),
  lengths: (report) => ({ ...fieldsOf(report, undefined, undefined), kid_length: report.version?.kid.length }),
  none: (report) => ({ ...fieldsOf(report, report.version?.kidHash, report.version?.version), 'kid@v': report.version && kidAtVersion(report.version) }),
};

/** Absent fields stay undefined, and are left out of the line. */
function fieldsOf({ op, alg, result, latencyMs, corrId, requestId, opId, tenant, version, peer, refusal }: OperationReport, kidHash: string | undefined, kidVersion: number | undefined): Fields {
  return {
    event: op, alg, result,
    latency_ms: Math.round(latencyMs * 1000) / 1000,
    corr_id: corrId, request_id: requestId, op_id: opId, tenant,
    kid_hash: kidHash, kid_version: kidVersion,
    peer,
    attestation_class: version?.attestationClass,
    reason: refusal?.hint,
    fault: refusal && faultOf(refusal),
  };
}

function kidAtVersion({ kid }: VersionRecord): string {
  return kid.replace('#v', '@');
}

function levelOf({ refusal }: RequestReport): 'info' | 'error' {
  return refusal?.code === 'Internal' ? 'error' : 'info';
}

/** A fault of ours by its kind and place: its message could carry what it was about. */
function faultOf({ code, cause }: KmsError): string | undefined {
  if (code !== 'Internal') return undefined;
  if (cause instanceof KmsError) return cause.code;
  if (!(cause instanceof Error)) return 'not an error';
  const places = (cause.stack ?? '').split('\n').filter((line) => line.startsWith('    at ')).slice(0, 4);
  return [cause.name, ...places.map((line) => line.trim())].join(' | ');
}
