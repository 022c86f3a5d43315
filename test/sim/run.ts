/** `npm run sim`: hours of the service's life in seconds, from one seed. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installVirtualTime } from './virtual-time.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' }, worlds: { type: 'string' }, hours: { type: 'string', default: '20' },
    jobs: { type: 'string', default: '1' }, plant: { type: 'string' }, trace: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(`Simulates the whole service: disk, clock, network, backend and the order of everything come from one seed.

  npm run sim -- [--seed N] [--worlds N] [--hours N] [--jobs N] [--trace] [--plant NAME]

  --seed N     the first world; those behind it count on from it (1)
  --worlds N   how many worlds (1)
  --hours N    of its own time, each (20)
  --jobs N     processes that share the worlds (1)
  --trace      every line of what happens, on standard error
  --plant NAME breaks the service on purpose: it has to be found

A world that breaks a promise ends with the line that did, and with the command that does the same again. Exit code 1 then.
`);
  process.exit(0);
}

const jobs = Math.min(Number(values.jobs), Number(values.worlds ?? 1));
if (jobs > 1) {
  // A world is the same wherever it runs.
  const codes = await Promise.all(Array.from({ length: jobs }, (_, job) => new Promise<number>((resolve) => {
    const worlds = Math.ceil((Number(values.worlds) - job) / jobs);
    const seed = Number(values.seed) + job * Math.ceil(Number(values.worlds) / jobs);
    const args = ['--seed', String(seed), '--worlds', String(worlds), '--hours', values.hours, ...(values.plant === undefined ? [] : ['--plant', values.plant]), ...(values.trace ? ['--trace'] : [])];
    spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' }).once('exit', (code) => resolve(code ?? 1));
  })));
  process.exit(Math.max(...codes));
}

const realNow = performance.now.bind(performance);
const time = installVirtualTime();
const { plants } = await import('./plants.ts');
const { runWorld } = await import('./world.ts');
if (values.plant !== undefined && !(values.plant in plants)) {
  process.stderr.write(`--plant is one of ${Object.keys(plants).join(', ')}\n`);
  process.exit(2);
}
const plant = values.plant as keyof typeof plants | undefined;
const hours = Number(values.hours);
const worlds = Number(values.worlds ?? 1);
const begun = realNow();
const totals: Record<string, number> = {};
const LAST_LINES = 25;

for (let i = 0; i < worlds; i++) {
  const seed = String(Number(values.seed) + i);
  const last: string[] = [];
  const onLine = (line: string): void => {
    if (values.trace) process.stderr.write(`${line}\n`);
    last.push(line);
    if (last.length > LAST_LINES) last.shift();
  };
  try {
    const { digest, lines, entries, counts } = await runWorld({ seed, hours, time, plant, onLine });
    for (const [what, of] of Object.entries({ ...counts, entries, lines })) totals[what] = (totals[what] ?? 0) + of;
    process.stdout.write(`seed ${seed}: ${hours} h, ${lines} lines, ${entries} entries, digest ${digest.slice(0, 16)}\n`);
  } catch (fault) {
    process.stdout.write(`${last.join('\n')}\nseed ${seed}: ${fault instanceof Error ? (fault.name === 'Broken' ? fault.message : fault.stack) : String(fault)}\nagain: npm run sim -- --seed ${seed} --hours ${hours}${plant === undefined ? '' : ` --plant ${plant}`} --trace\n`);
    process.exit(1);
  }
}
const seconds = (realNow() - begun) / 1000;
process.stdout.write(`${hours * worlds} simulated hours in ${seconds.toFixed(1)} s: ${Math.round((hours * worlds * 60) / seconds)} hours a minute\n${Object.entries(totals).map(([what, of]) => `${what} ${of}`).join(', ')}\n`);
process.exit(0);
