import type { Report } from './bench.ts';
import type { Figure } from './figures.ts';
import type { EdgeFigures } from './edge.ts';
import type { HardwareFigures } from './hardware.ts';
import type { LargeLog } from './large-log.ts';
import type { LargeStore } from './large-store.ts';
import type { Pressure } from './pressure.ts';
import type { TargetLine } from './targets.ts';
import { describeMachine } from './machine.ts';

/** A table as rows of cells; the first row is the head, the first column text, the others numbers. */
type Table = readonly (readonly string[])[];

interface Section {
  readonly title: string;
  readonly table: Table;
  readonly notes: readonly string[];
}

/** For a terminal. */
export function reportAsText(report: Report): string {
  const sections = sectionsOf(report).map(({ title, table, notes }) => [title, ...alignedRows(table), ...notes, ''].join('\n'));
  return [describeMachine(report.machine), `${howMeasured(report)}\n`, ...sections].join('\n');
}

/** For docs/bench.md. */
export function reportAsMarkdown(report: Report, commandLine: string): string {
  const sections = sectionsOf(report).map(({ title, table, notes }) => [`## ${title}`, '', ...markdownRows(table), '', ...notes.flatMap((note) => [note, ''])].join('\n'));
  return [
    '# Benchmark', '',
    `Written by \`${commandLine}\` on ${report.date.slice(0, 10)}; run it again on your own machine before you compare.`, '',
    `Machine: ${describeMachine(report.machine)}.`, '', howMeasured(report), '', ...sections,
  ].join('\n');
}

function howMeasured({ options: { seconds, rounds } }: Report): string {
  return `Windows of ${seconds} s after a warm-up of half that, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; each figure is the median of the rounds, each ratio the median of the ratios within a round. Load generator and service share the cores.`;
}

function sectionsOf({ operations, raw, targets, startUp, memory, pressure, edge, hardware, largeLog, largeStore }: Report): readonly Section[] {
  return [
    {
      title: 'Targets',
      table: targetTable(targets),
      notes: ['By CPU: the same ratio of processor times, which holds still when something else runs on the machine; the target is on the figure.'],
    },
    {
      title: 'Operations',
      table: operationTable(operations),
      notes: ['A batch counts its 64 items. x echo: against a bare fastify that sends the body back, at as many connections. x raw: against the primitive below.', ...operations.flatMap(failureNote)],
    },
    {
      title: 'Primitives, no HTTP',
      table: [['primitive', 'per s', 'CPU us'], ...raw.map(({ name, perSecond, cpuUsPerOp }) => [name, whole(perSecond), short(cpuUsPerOp)])],
      notes: ['ML-DSA and the composite with 4 in flight on the thread pool, the others on one thread. Flushed append: 4 KiB behind the rest of a file, each on the disk before the next.'],
    },
    { title: 'Start-up', table: [['run', 'ms'], ...(startUp?.runsMs ?? []).map((ms, run) => [run === 0 ? 'first, nothing compiled' : `${run + 1}`, whole(ms)])], notes: [] },
    ...(largeLog === undefined ? [] : [largeLogSection(largeLog)]),
    ...(largeStore === undefined ? [] : [largeStoreSection(largeStore)]),
    { title: 'Pressure', table: pressureTable(pressure), notes: ['Hybrid signatures; each latency counts from when the request was due, whether a connection was free or not. The generator shares the two cores.'] },
    { title: 'Hardware and key services', table: hardwareTable(hardware), notes: ['SoftHSM2, swtpm and a transit engine of our own on the same two cores: a signature in SoftHSM2 takes 50 us, in a device milliseconds. What a session does alone is a bare loop over the module in one process.'] },
    { title: 'The edge', table: edgeTable(edge), notes: ['TLS 1.3 with X25519MLKEM768 and a P-256 certificate, connections that stay. The slow peers come from 200 other loopback addresses: half of them send a byte a second, half ask and read nothing; who is cut off comes back.'] },
    { title: 'Memory', table: [['signatures', 'RSS MiB'], ...(memory?.points ?? []).map(({ operations, rssMib }) => [whole(operations), whole(rssMib)])], notes: [] },
  ].filter(({ table }) => table.length > 1);
}

function largeLogSection({ entries, startedInMs, smallStartedInMs, startedAfterKillMs, rssMib, smallRssMib, checks }: LargeLog): Section {
  return {
    title: `A log of ${whole(entries)} entries`,
    table: [
      ['', 'large', 'a tenth'],
      ['start-up, ms', whole(startedInMs), whole(smallStartedInMs)], ['start-up after kill -9 in the middle of signing, ms', whole(startedAfterKillMs), ''], ['highest RSS in the full check, MiB', whole(rssMib), whole(smallRssMib)],
      ...checks.map(({ jobs, perSecond }) => [`audit verify --jobs ${jobs}, entries/s`, whole(perSecond), '']),
    ],
    notes: ['The service starts from the state it sealed last; the full check goes on behind.'],
  };
}

function largeStoreSection({ keys, startedInMs, smallStartedInMs, oneKey, byZipf, rssMib }: LargeStore): Section {
  return {
    title: `A store of ${whole(keys)} keys`,
    table: [
      ['', 'large', 'a tenth'],
      ['start-up, ms', whole(startedInMs), whole(smallStartedInMs)],
      ['sign hybrid @64, one key, per s', whole(oneKey.perSecond), ''], ['sign hybrid @64, keys by Zipf, per s', whole(byZipf.perSecond), ''],
      ['sign hybrid @64, one key, CPU us', whole(oneKey.cpuUsPerOp), ''], ['sign hybrid @64, keys by Zipf, CPU us', whole(byZipf.cpuUsPerOp), ''],
      ['highest RSS while signing, MiB', whole(rssMib), ''],
    ],
    notes: ['Hybrid keys, each sealed for itself; a thousand pairs of seeds between them, as making a million takes minutes. Each has its intent and its outcome in the log. Zipf: exponent 1 over all keys, `backends.file.cache_keys` at its default of 10,000; the load begins with 30,000 signatures that are not measured.'],
  };
}

function targetTable(targets: readonly TargetLine[]): Table {
  const rows = targets.map(({ what, figure, byCpu, unit, bound, isMet }) => {
    const target = 'atLeast' in bound ? `at least ${bound.atLeast}` : `below ${bound.below}`;
    return [what, withUnit(short(figure), unit), short(byCpu), withUnit(target, unit), isMet ? 'met' : 'MISSED'];
  });
  return [['target', 'figure', 'by CPU', 'wanted', ''], ...rows];
}

function operationTable(operations: readonly Figure[]): Table {
  const rows = operations.map(({ name, connections, perSecond, cpuUsPerOp, latencyMs, overEcho, overEchoByCpu, overRaw, failures }) => [
    name, whole(connections ?? 0), whole(perSecond), ...[latencyMs?.p50, latencyMs?.p95, latencyMs?.p99, latencyMs?.max].map(short), short(cpuUsPerOp), short(overEcho), short(overEchoByCpu), short(overRaw),
    failures === 0 ? '' : `${failures} FAILED`,
  ]);
  return [['operation', 'conns', 'per s', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'CPU us', 'x echo', 'by CPU', 'x raw', ''], ...rows];
}

function failureNote({ name, connections, failures, firstFailure }: Figure): readonly string[] {
  return failures === 0 ? [] : [`FAILED: ${name} at ${connections} connections: ${failures} answers, the first: ${firstFailure}`];
}

function alignedRows(table: Table): readonly string[] {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table.map((row) => `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`.trimEnd());
}

function markdownRows([head = [], ...rows]: Table): readonly string[] {
  return [head, head.map((_, column) => (column === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}

function withUnit(text: string, unit: string): string {
  return unit === '' ? text : `${text} ${unit}`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** Three digits or so, as no more of them mean anything. */
function short(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? whole(value) : value.toFixed(value >= 10 ? 1 : 2);
}

function hardwareTable(hardware: HardwareFigures | undefined): Table {
  const head = ['what', 'figure'];
  if (hardware === undefined) return [head];
  const { sessions, keyfileStartMs, tpmStartMs, cloudAloneMs, cloudUnwrapMs } = hardware;
  return [
    head,
    ...sessions.flatMap(({ count, perSecond, rawPerSecond, lagP99Ms }) => [
      [`sign ed25519 @64, ${count} sessions, disk, /s`, whole(perSecond)],
      [`the module alone, ${count} sessions, /s`, whole(rawPerSecond)],
      ['event loop lag meanwhile, p99, ms', short(lagP99Ms)],
    ]),
    ['start with a key file, ms', whole(keyfileStartMs)],
    ['start with a root key sealed by a TPM, ms', whole(tpmStartMs)],
    ['decryption by a key service, ms', short(cloudAloneMs)],
    ['unwrap by it, disk, ms', short(cloudUnwrapMs)],
  ];
}

function edgeTable(edge: EdgeFigures | undefined): Table {
  const head = ['what', 'figure'];
  if (edge === undefined) return [head];
  const { tlsPerSecond, plainPerSecond, slowConnections, aloneP95, besideSlowP95, bombMib } = edge;
  return [
    head,
    ['sign ed25519 @64 over TLS, /s', whole(tlsPerSecond)],
    ['the same in the clear, /s', whole(plainPerSecond)],
    ['p95 at a quarter of that, ms', short(aloneP95)],
    [`the same beside ${whole(slowConnections)} slow connections, ms`, short(besideSlowP95)],
    ['peak of memory for a bomb, MiB', short(bombMib)],
  ];
}

function pressureTable(pressure: Pressure | undefined): Table {
  const head = ['what', 'figure'];
  if (pressure === undefined) return [head];
  const { capacity, floodAskedPerSecond, floodPerSecond, steadyP99, floodP99, refusalP99, refusalOverSign, aloneP95, besideP95, besideRefusedShare } = pressure;
  return [
    head,
    ['capacity, 64 clients that wait, /s', whole(capacity)],
    ['p99 at 0.8 of it, ms', short(steadyP99)],
    ['at 5 times: answered of it, /s', whole(floodAskedPerSecond)],
    ['at 5 times: signed, /s', whole(floodPerSecond)],
    ['at 5 times: p99 of a signature, ms', short(floodP99)],
    ['at 5 times: p99 of a refusal, ms', short(refusalP99)],
    ['CPU of a refusal / of a signature', short(refusalOverSign)],
    ['a tenant alone: p95, ms', short(aloneP95)],
    ['beside a greedy one: p95, ms', short(besideP95)],
    ['beside a greedy one: refused of its requests, %', short(100 * besideRefusedShare)],
  ];
}
