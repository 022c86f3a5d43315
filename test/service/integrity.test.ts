import { expect, test } from 'vitest';
import { createIntegrity } from '../../src/service/integrity.ts';

function open(found?: string) {
  const told: unknown[] = [];
  const stopped: string[] = [];
  const integrity = createIntegrity({
    log: { integrityFault: () => found, failIntegrity: (what) => { stopped.push(what); } },
    telemetry: { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: (_level, event, fields) => { told.push([event, fields?.['part'], fields?.['what']]); } },
  });
  return { integrity, told, stopped };
}

test('while nothing is at odds, nothing is refused', () => {
  const { integrity, told } = open();
  expect(() => integrity.require()).not.toThrow();
  expect([integrity.isWhole(), integrity.faultOf('log'), told]).toEqual([true, undefined, []]);
});

test.each([['log', 'AuditUnavailable', true], ['anchor', 'AuditUnavailable', true], ['store', 'StoreUnavailable', false]] as const)('%s at odds: %s; the log takes no more entries: %s', (part, code, isStopped) => {
  const { integrity, stopped } = open();
  integrity.fail(part, 'this');
  expect(() => integrity.require()).toThrow(expect.objectContaining({ code }));
  expect([integrity.isWhole(), integrity.faultOf(part), stopped]).toEqual([false, 'this', isStopped ? ['this'] : []]);
});

test('what the log found when it was opened is told like the rest', () => {
  const { integrity, told } = open('entry 7');
  expect([integrity.faultOf('log'), told]).toEqual(['entry 7', [['audit_integrity_failed', 'log', 'entry 7']]]);
});

test('each part is told once; a log at odds weighs more than a store', () => {
  const { integrity, told } = open();
  for (const [part, what] of [['store', 'a'], ['store', 'b'], ['anchor', 'c'], ['anchor', 'd']] as const) integrity.fail(part, what);
  expect(told).toEqual([['audit_integrity_failed', 'store', 'a'], ['audit_integrity_failed', 'anchor', 'c']]);
  expect(() => integrity.require()).toThrow(expect.objectContaining({ code: 'AuditUnavailable' }));
});
