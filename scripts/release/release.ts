/** `npm run release -- --dry-run`: every gate that a release passes; without `--dry-run` it writes what a release carries, and leaves the tag to whoever releases. */
import type { Lockfile } from './lockfile.ts';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { breakingChanges } from './api-diff.ts';
import { faultsOfLockfile } from './lockfile.ts';
import { nativeBinaries } from './natives.ts';
import { packedHash } from './pack.ts';
import { currentOpenapi } from './openapi.ts';
import { makeSbom } from './sbom.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }).version;
const SBOM = join(ROOT, 'docs/sbom', `ron-kms-${VERSION}.cdx.json`);
const NATIVES = join(ROOT, 'docs/sbom', `native-${VERSION}.json`);
const API = join(ROOT, 'docs/api/openapi.json');
const OWN = ['', 'client'] as const;

/** What is wrong, one line each; empty where the gate is passed. `note` is said in any case. */
interface Passed {
  readonly faults: readonly string[];
  readonly note?: string;
}

interface Gate {
  readonly name: string;
  check(): Promise<Passed> | Passed;
  /** Brings what is committed up to date. */
  write?(): Promise<void> | void;
}

const lockfile = (): Lockfile => JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lockfile;

function isSame(path: string, text: string): Passed {
  const committed = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  return { faults: committed === text ? [] : [`${path.slice(ROOT.length)} is ${committed === undefined ? 'not there' : 'of before'}: npm run release writes it`] };
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function run(command: string, args: readonly string[]): Passed {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  return { faults: status === 0 ? [] : [`${command} ${args.join(' ')} ended with ${status}`] };
}

const nativesText = (): string => `${JSON.stringify(nativeBinaries(ROOT, lockfile()), null, 1)}\n`;

const gates: readonly Gate[] = [
  { name: 'dependencies: exact versions, hashes, licences, bans, install scripts', check: () => ({ faults: faultsOfLockfile(lockfile(), OWN) }) },
  { name: 'advisories', check: askAdvisories },
  { name: 'known answers', check: () => run('npx', ['vitest', 'run', 'test/vectors']) },
  { name: 'the API against the last release', check: checkApi, write: async () => put(API, `${JSON.stringify(await currentOpenapi(), null, 1)}\n`) },
  { name: 'SBOM', check: () => isSame(SBOM, makeSbom(ROOT)), write: () => put(SBOM, makeSbom(ROOT)) },
  { name: 'native binaries', check: () => isSame(NATIVES, nativesText()), write: () => put(NATIVES, nativesText()) },
  {
    name: 'packed twice, the same bytes',
    check: () => ({ faults: OWN.flatMap((folder) => (packedHash(join(ROOT, folder)) === packedHash(join(ROOT, folder)) ? [] : [`npm pack in ${folder === '' ? 'the root' : folder} gives other bytes each time`])) }),
  },
  { name: 'changelog', check: () => ({ faults: readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8').includes(isDryRun ? '## ' : `## ${VERSION}`) ? [] : [`CHANGELOG.md has no section "## ${VERSION}"`] }) },
];

const isDryRun = process.argv.includes('--dry-run');
let failed = 0;
for (const { name, check, write } of gates) {
  if (!isDryRun) await write?.();
  const { faults, note } = await check();
  process.stdout.write(`${faults.length === 0 ? 'ok    ' : 'FAILED'}  ${name}${note === undefined ? '' : ` (${note})`}\n${faults.map((fault) => `        ${fault}\n`).join('')}`);
  if (faults.length > 0) failed++;
}
process.stdout.write(`${gates.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** A service that cannot be asked is no proof that all is well, and none that it is not: that is said. */
function askAdvisories(): Passed {
  const { stdout } = spawnSync('npm', ['audit', '--omit', 'dev', '--json'], { cwd: ROOT, encoding: 'utf8' });
  try {
    const { vulnerabilities, error, message } = JSON.parse(stdout) as { readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string }>>; readonly error?: unknown; readonly message?: string };
    if (vulnerabilities === undefined) return { faults: [], note: `NOT ASKED: ${message ?? (error === undefined ? 'no answer' : 'the registry has no advisories to give')}` };
    return { faults: Object.entries(vulnerabilities).map(([name, { severity }]) => `${name}: ${severity}`) };
  } catch {
    return { faults: [], note: 'NOT ASKED: npm audit gave no answer' };
  }
}

async function checkApi(): Promise<Passed> {
  if (!existsSync(API)) return { faults: ['docs/api/openapi.json is not there: npm run release writes it'] };
  const before = JSON.parse(readFileSync(API, 'utf8')) as { readonly info: { readonly version: string } };
  const faults = breakingChanges(before, await currentOpenapi());
  const isMajor = Number(VERSION.split('.')[0]) > Number(before.info.version.split('.')[0]);
  return isMajor ? { faults: [], note: `a new major version; ${faults.length} breaking changes` } : { faults: faults.map((fault) => `${fault}: breaks who was written for ${before.info.version}`) };
}

