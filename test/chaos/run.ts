/** `npm run chaos`: what happens to real services, done to a real process on purpose, with a report. */
import type { Drill, Outcome } from './drill.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endInstances } from '../harness/file-service.ts';
import { backendDrill } from './backend.ts';
import { killDrill } from './kill.ts';
import { restartDrill } from './restart.ts';
import { rollbackDrill } from './rollback.ts';

const drills: readonly Drill[] = [killDrill, restartDrill, backendDrill, rollbackDrill];
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, only: { type: 'string' }, out: { type: 'string' }, json: { type: 'boolean', default: false }, plant: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } });

if (values.help) {
  process.stdout.write(`Does to a real service what happens to real services, and reports what was seen.

  npm run chaos -- [--seconds N] [--only NAME] [--out report.md] [--json]

  --seconds N   how long the drills go on that go on, each (60)
  --only NAME   one of them: ${drills.map(({ name }) => name).join(', ')}
  --out FILE    the report as Markdown
  --json        the report as JSON, on standard output
  --plant       breaks something behind each drill's back: it has to see it

Exit code 1 when anything did not hold, 3 when a drill could not be done here.
`);
  process.exit(0);
}

type Result = { readonly drill: Drill } & ({ readonly outcome: Outcome; readonly seconds: number } | { readonly missing: string });

const chosen = drills.filter(({ name }) => values.only === undefined || name.includes(values.only));
if (chosen.length === 0) {
  process.stderr.write(`--only is one of ${drills.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const results: Result[] = [];
for (const drill of chosen) results.push(drill.missing === undefined ? await done(drill) : { drill, missing: drill.missing });

const report = markdown(results);
if (values.out !== undefined) writeFileSync(values.out, report);
process.stdout.write(values.json ? `${JSON.stringify(results.map(({ drill: { name }, ...rest }) => ({ name, ...rest })), null, 2)}\n` : report);
process.exitCode = results.some((one) => 'outcome' in one && one.outcome.faults.length > 0) ? 1 : results.some((one) => 'missing' in one) ? 3 : 0;

async function done(drill: Drill): Promise<Result> {
  const home = mkdtempSync(join(tmpdir(), 'ron-kms-chaos-'));
  const begun = performance.now();
  const say = (progress: string): void => { process.stderr.write(`${drill.name}: ${progress}\n`); };
  say(drill.does);
  try {
    const outcome = await drill.run({ isPlanted: values.plant, home, ms: 1000 * Number(values.seconds), say }).catch((fault: unknown): Outcome => ({ figures: {}, faults: [`the drill itself ended with ${fault instanceof Error ? fault.stack ?? fault.message : String(fault)}`] }));
    return { drill, outcome, seconds: Math.round((performance.now() - begun) / 1000) };
  } finally {
    await endInstances();
    rmSync(home, { recursive: true, force: true });
  }
}

function markdown(all: readonly Result[]): string {
  const sections = all.map((result) => {
    const { drill: { name, does, holds } } = result;
    if ('missing' in result) return `## ${name}: not done\n\n${result.missing}\n`;
    const { outcome: { faults, figures }, seconds } = result;
    const rows = Object.entries(figures).map(([what, of]) => `| ${what} | ${of} |`).join('\n');
    return `## ${name}: ${faults.length === 0 ? 'held' : 'DID NOT HOLD'}\n\nIt ${does}.\nWhat has to hold: ${holds}.\n\n| In ${seconds} s | |\n|---|---|\n${rows}\n${faults.map((fault) => `\n- **${fault}**`).join('')}\n`;
  });
  return `# Chaos drills\n\n${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} cores.\n\n${sections.join('\n')}`;
}
