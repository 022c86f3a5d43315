import type { TestService } from '../harness/service.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, createKey, startService } from '../harness/service.ts';
import { DEPLOY, isThere, runThere } from './tools.ts';

const alerts = readFileSync(join(DEPLOY, 'prometheus/alerts.yml'), 'utf8');
const board = JSON.parse(readFileSync(join(DEPLOY, 'grafana/ron-kms.json'), 'utf8')) as { panels: { id: number; title: string; targets: { expr: string }[]; gridPos: { x: number; y: number } }[] };

let service: TestService;
/** What a service that has done something shows: by name, the names of its labels. */
let shown: Map<string, Set<string>>;
beforeAll(async () => {
  service = await startService();
  const { kid } = await createKey(service);
  await call(service, 'POST', '/sign', { kid, payload_b3: '0'.repeat(64) });
  const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
  shown = new Map();
  for (const [, name = ''] of text.matchAll(/^# TYPE (\w+) /gm)) shown.set(name, new Set());
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)\{([^}]*)\}/gm)) {
    const all = shown.get(name) ?? new Set();
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) all.add(label);
    shown.set(name, all);
  }
});
afterAll(async () => { await service.stop(); });

const METRIC = /\b(?:kms_\w+|queue_depth|busy_rejections_total|tls_handshake_failures_total|auth_failures_total|verify_cache_age_ms)\b/g;
/** A name with what it is filtered by. */
const SELECTOR = /\b(kms_\w+|queue_depth|busy_rejections_total|tls_handshake_failures_total|auth_failures_total)\{([^}]*)\}/g;
const SCRAPED = new Set(['instance', 'job', 'le']);

function faultsOf(expression: string): readonly string[] {
  const names = expression.match(METRIC) ?? [];
  const unknown = names.filter((name) => !shown.has(name) && !shown.has(name.replace(/_bucket$/, '')));
  const labels = [...expression.matchAll(SELECTOR)].flatMap(([, name = '', filter = '']) => [...filter.matchAll(/(\w+)[=!]~?"/g)].map(([, label = '']) => [name, label] as const));
  const strange = labels.filter(([name, label]) => !SCRAPED.has(label) && !(shown.get(name) ?? new Set()).has(label)).map(([name, label]) => `${name}{${label}}`);
  return [...(names.length === 0 && !expression.includes('up{') ? [`no metric of ours in ${expression}`] : []), ...unknown, ...strange];
}

test('every alert and every panel asks for what the service shows, by labels that it has', () => {
  const expressions = [...alerts.matchAll(/^ +expr: (.*)$/gm)].map(([, expression]) => expression ?? '');
  expect(expressions.length).toBeGreaterThan(10);
  expect(expressions.flatMap(faultsOf)).toEqual([]);
  const asked = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  expect(asked.length).toBeGreaterThan(12);
  expect(asked.flatMap(faultsOf)).toEqual([]);
});

test('whatever the service counts of itself is on the board or wakes somebody', () => {
  const used = new Set([...alerts.matchAll(METRIC), ...JSON.stringify(board).matchAll(METRIC)].map(([name]) => name.replace(/_bucket$/, '')));
  expect([...shown.keys()].filter((name) => /^(kms_|queue|busy|tls|auth)/.test(name) && !/_(bucket|sum|count)$/.test(name) && !used.has(name))).toEqual([]);
});

test('no panel lies on another', () => {
  expect(new Set(board.panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size).toBe(board.panels.length);
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
});

test('every alert names a page and a heading that are there', () => {
  const runbooks = [...alerts.matchAll(/^ +runbook: (\S+)#(\S+)$/gm)];
  expect(runbooks.length).toBe([...alerts.matchAll(/- alert:/g)].length);
  for (const [, page = '', anchor] of runbooks) {
    const headings = [...readFileSync(join(DEPLOY, '..', page), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\w\s-]/g, '').replaceAll(' ', '-'));
    expect(headings, page).toContain(anchor);
  }
});

const hasPromtool = isThere('promtool', 'the Prometheus rules and their unit tests', 'install promtool (apt-get install prometheus)');
describe.skipIf(!hasPromtool)('promtool', () => {
  test('takes the rules', () => {
    expect(runThere('promtool', ['check', 'rules', 'alerts.yml'], join(DEPLOY, 'prometheus')).said).toMatch(/SUCCESS: 1\d rules found/);
  });
  test('sees each alert come when it should', () => {
    const { code, said } = runThere('promtool', ['test', 'rules', 'alerts.test.yml'], join(DEPLOY, 'prometheus'));
    expect(said).toContain('SUCCESS');
    expect(code).toBe(0);
    const tested = readFileSync(join(DEPLOY, 'prometheus/alerts.test.yml'), 'utf8');
    for (const [, name = ''] of alerts.matchAll(/- alert: (\w+)/g)) expect(tested).toMatch(new RegExp(`alertname: ${name}\\n +exp_alerts`));
  });
});
