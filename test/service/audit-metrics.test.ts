import { expect, test } from 'vitest';
import { createLogLines } from '../../src/adapters/telemetry/log-lines.ts';
import { createMetrics } from '../../src/adapters/telemetry/metrics.ts';
import { createTelemetry } from '../../src/adapters/telemetry/telemetry.ts';
import { noTracing } from '../../src/adapters/tracing/no-tracing.ts';

test('what the log counts is shown as it stands when it is asked for', async () => {
  let size = 3;
  const counts: Record<string, number> = { ok: 5 };
  const metrics = createMetrics({
    kms_audit_tree_size: { help: 'Entries.', read: () => size },
    kms_audit_appends_total: { help: 'Appends.', isCounter: true, label: 'result', read: () => counts },
    queue_depth: { help: 'Waiting.', label: 'queue', read: () => ({ audit: 7, sign: 0 }) },
  });
  expect((await metrics.render()).text).toMatch(/^# TYPE kms_audit_appends_total counter\nkms_audit_appends_total\{result="ok"\} 5$/m);
  size = 4;
  counts['ok'] = 6;
  counts['AuditUnavailable'] = 2;
  const { text } = await metrics.render();
  expect(text).toMatch(/^# TYPE kms_audit_tree_size gauge\nkms_audit_tree_size 4$/m);
  expect(text).toContain('kms_audit_appends_total{result="ok"} 6');
  expect(text).toContain('kms_audit_appends_total{result="AuditUnavailable"} 2');
  expect(text).toContain('queue_depth{queue="audit"} 7');
});

test('a log at odds with itself is an alarm line and a count', async () => {
  const metrics = createMetrics({});
  let lines = '';
  const telemetry = createTelemetry({ metrics, log: createLogLines({ write: (line) => { lines += line; } }), backend: 'inmem', redactLevel: () => 'hashes', tracing: noTracing });
  const counted = async (): Promise<string | undefined> => /^kms_audit_integrity_failed_total (\d+)$/m.exec((await metrics.render()).text)?.[1];
  expect(await counted()).toBe('0');
  telemetry.event('info', 'started');
  telemetry.event('error', 'audit_integrity_failed', { what: 'entry 7 is not the one that was signed' });
  expect(await counted()).toBe('1');
  expect(JSON.parse(lines.trim().split('\n').at(-1) ?? '{}')).toMatchObject({ level: 'error', event: 'audit_integrity_failed', what: 'entry 7 is not the one that was signed' });
});
