/**
 * `npm run release -- --dry-run`: every gate that a release passes; without `--dry-run` it writes what a release carries, and leaves the tag to whoever releases.
 * `--begin` makes what the gates compare with, where there is none.
 */
import type { Lockfile } from './lockfile.ts';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { breakingChanges } from './api-diff.ts';
import { changelogFaults } from './changelog.ts';
import { brokenUses, currentDeclarations, readDeclarations, writeDeclarations } from './client-api.ts';
import { faultsOfLockfile } from './lockfile.ts';
import { nativeBinaries } from './natives.ts';
import { packedHash } from './pack.ts';
import { lossesMeasured, measure } from './performance.ts';
import { currentOpenapi } from './openapi.ts';
import { makeSbom } from './sbom.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }).version;
const SBOM = join(ROOT, 'docs/sbom', `ron-kms-${VERSION}.cdx.json`);
const NATIVES = join(ROOT, 'docs/sbom', `native-${VERSION}.json`);
const API = join(ROOT, 'docs/api/openapi.json');
const CLIENT_API = join(ROOT, 'docs/api/client');
const BASELINE = join(ROOT, 'bench/baseline.json');
const OWN = ['', 'client'] as const;
const LOCKFILE_LINT = ['lockfile-lint', '--path', 'package-lock.json', '--type', 'npm', '--validate-https', '--validate-integrity', '--validate-package-names', '--allowed-hosts', 'npm'];

/** What is wrong, one line each; empty where the gate is passed. `note` is said in any case; `isUnasked` where nobody could say. */
interface Passed {
  readonly faults: readonly string[];
  readonly note?: string;
  readonly isUnasked?: boolean;
}

interface Gate {
  readonly name: string;
  check(): Promise<Passed> | Passed;
  /** Brings what is committed up to date, before it is checked. */
  write?(): Promise<void> | void;
  /** Takes the place of the last release's, once this one was held against it. */
  succeed?(): Promise<void> | void;
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
  { name: 'the lockfile, by lockfile-lint', check: () => run('npx', LOCKFILE_LINT) },
  { name: 'advisories', check: askAdvisories },
  { name: 'known answers', check: () => run('npx', ['vitest', 'run', 'test/vectors']) },
  { name: 'the API against the last release', check: checkApi, succeed: async () => put(API, `${JSON.stringify(await currentOpenapi(), null, 1)}\n`) },
  { name: "the client's types against the last release", check: checkClient, succeed: () => writeDeclarations(CLIENT_API, currentDeclarations(ROOT)) },
  { name: 'performance ratios against the baseline', check: checkPerformance, succeed: () => put(BASELINE, `${JSON.stringify(measure(ROOT), null, 1)}\n`) },
  { name: 'SBOM', check: () => isSame(SBOM, makeSbom(ROOT)), write: () => put(SBOM, makeSbom(ROOT)) },
  { name: 'native binaries', check: () => isSame(NATIVES, nativesText()), write: () => put(NATIVES, nativesText()) },
  {
    name: 'packed twice, the same bytes',
    check: () => ({ faults: OWN.flatMap((folder) => (packedHash(join(ROOT, folder)) === packedHash(join(ROOT, folder)) ? [] : [`npm pack in ${folder === '' ? 'the root' : folder} gives other bytes each time`])) }),
  },
  { name: 'changelog', check: () => ({ faults: changelogFaults(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8'), isDryRun ? [VERSION, 'Unreleased'] : [VERSION]) }) },
];

const isDryRun = process.argv.includes('--dry-run');
/** Whatever the gates say: a first baseline, or a new machine for it. */
const isFirst = process.argv.includes('--begin');
let failed = 0;
let unasked = 0;
for (const { name, check, write, succeed } of gates) {
  if (isFirst) await succeed?.();
  if (!isDryRun) await write?.();
  const { faults, note, isUnasked = false } = await check();
  process.stdout.write(`${faults.length > 0 ? 'FAILED ' : isUnasked ? 'UNASKED' : 'ok     '}  ${name}${note === undefined ? '' : ` (${note})`}\n${faults.map((fault) => `         ${fault}\n`).join('')}`);
  if (faults.length > 0) failed++;
  else if (isUnasked) unasked++;
}
// What was released is what the next release is held against: only when all of it passed.
if (!isDryRun && failed === 0) for (const { succeed } of gates) await succeed?.();
process.stdout.write(`${gates.length - failed - unasked} passed, ${failed} failed${unasked === 0 ? '' : `, ${unasked} could not be asked`}\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** A service that cannot be asked is no proof that all is well, and none that it is not: that is said. */
function askAdvisories(): Passed {
  const { stdout } = spawnSync('npm', ['audit', '--omit', 'dev', '--json'], { cwd: ROOT, encoding: 'utf8' });
  try {
    const { vulnerabilities, error, message } = JSON.parse(stdout) as { readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string }>>; readonly error?: unknown; readonly message?: string };
    if (vulnerabilities === undefined) return { faults: [], isUnasked: true, note: (message ?? (error === undefined ? 'no answer' : 'the registry has no advisories to give')).replaceAll(/https?:\S+/gu, 'the registry') };
    return { faults: Object.entries(vulnerabilities).map(([name, { severity }]) => `${name}: ${severity}`) };
  } catch {
    return { faults: [], isUnasked: true, note: 'npm audit gave no answer' };
  }
}

/** What was released under another major version may break; what was not may not. */
function isNewMajor(): boolean {
  const { info } = JSON.parse(readFileSync(API, 'utf8')) as { readonly info: { readonly version: string } };
  return Number(VERSION.split('.')[0]) > Number(info.version.split('.')[0]);
}

function checkClient(): Passed {
  if (!existsSync(CLIENT_API)) return { faults: ['docs/api/client is not there: npm run release -- --begin writes it'] };
  const faults = brokenUses(ROOT, readDeclarations(CLIENT_API), currentDeclarations(ROOT));
  return isNewMajor() ? { faults: [], note: `a new major version; ${faults.length} uses break` } : { faults };
}

function checkPerformance(): Passed {
  if (!existsSync(BASELINE)) return { faults: ['bench/baseline.json is not there: npm run release -- --begin writes it'] };
  const { losses, runs } = lossesMeasured(JSON.parse(readFileSync(BASELINE, 'utf8')) as Parameters<typeof lossesMeasured>[0], () => measure(ROOT));
  return { faults: losses, note: runs === 1 ? 'measured once' : `measured ${runs} times, the best of each` };
}

async function checkApi(): Promise<Passed> {
  if (!existsSync(API)) return { faults: ['docs/api/openapi.json is not there: npm run release -- --begin writes it'] };
  const before = JSON.parse(readFileSync(API, 'utf8')) as { readonly info: { readonly version: string } };
  const faults = breakingChanges(before, await currentOpenapi());
  return isNewMajor() ? { faults: [], note: `a new major version; ${faults.length} breaking changes` } : { faults: faults.map((fault) => `${fault}: breaks who was written for ${before.info.version}`) };
}

