import type { Settings } from '../config/keys.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Tracing } from '../ports/tracing.ts';
import { noTracing } from '../adapters/tracing/no-tracing.ts';

interface TracingDeps {
  readonly settings: Settings;
  readonly version: string;
  readonly instance: string;
  readonly telemetry: () => Pick<Telemetry, 'event'>;
}

/** Who collects traces, if anybody: nothing of OpenTelemetry is loaded otherwise. */
export async function openTracing({ settings, ...rest }: TracingDeps): Promise<Tracing> {
  const url = settings['observability.otlp_url'];
  if (url === undefined) return noTracing;
  const { createOtlpTracing } = await import('../adapters/tracing/otlp.ts');
  return createOtlpTracing({ url, percent: settings['observability.trace_percent'], ...rest });
}
