import type { LogVerdict } from '../adapters/audit-check/check-log.ts';
import type { Known } from '../adapters/audit-check/check-known.ts';
import type { Keychain } from '../adapters/root-key/keychain.ts';
import type { Command, Io, Parsed } from '../cli/command.ts';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { readAnchorRecord } from '../adapters/anchor-file/record.ts';
import { checkWholeLog } from '../adapters/audit-check/check-log.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';
import { print, remark } from '../cli/answer.ts';
import { keyName, missingKind, pinAbout, pinnedKeys, pinOptions, vkeyTexts } from '../cli/audit-pinned-keys.ts';
import { UsageError } from '../cli/command.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { readSmall } from '../cli/files.ts';
import { flag } from '../cli/flags.ts';
import { inEntries, startProgress } from '../cli/progress.ts';
import { printable } from '../cli/printable.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { formatRfc3339 } from '../core/time.ts';
import { generationOf, inspectStore } from '../adapters/store-file/inspect.ts';
import { configAbout, configOption, logDirectory, settingsWithDirectory } from './audit-command-directory.ts';
import { openInstance } from './open-instance.ts';
import { wholeFlag } from './audit-command-records.ts';

const JOBS_DEFAULT_MAX = 4;
const JOBS_MAX = 64;

/** `ron-kms audit verify`: the whole check with nothing but the files and the pinned keys, also of a log that grows. */
export const verifyLogCommand: Command = {
  name: 'audit verify',
  args: '[<dir>]',
  summary: 'Check a whole log from its files and the pinned keys, without the service',
  example: 'audit verify ./kms-audit --keys log-keys.json',
  options: {
    ...pinOptions, jobs: { type: 'string' }, from: { type: 'string' }, archive: { type: 'string' }, 'known-checkpoint': { type: 'string' }, anchor: { type: 'string' },
    'store-generation': { type: 'string' }, ...configOption, json: { type: 'boolean' },
  },
  about: {
    ...pinAbout, jobs: `threads to share the work; one for each core when left out, ${JOBS_DEFAULT_MAX} at most`,
    from: 'entries below, in stretches of 65536, were checked before: they are taken by their hashes', archive: 'where audit prune has put what it took out of the log',
    'known-checkpoint': 'a checkpoint that was saved earlier: the log has to go on from it', anchor: 'the file of the log\'s anchor: the log may not be older',
    'store-generation': 'the generation of the key store, which has to fit the log; left out, that of the store which the settings name, itself looked at, and authenticated where the settings give the root key', ...configAbout, json: 'print the verdict as JSON',
  },
  async run(parsed, io) {
    const vkeys = await pinnedKeys(parsed, io);
    const directory = logDirectory(parsed, io);
    const archive = flag(parsed, 'archive');
    const fromIndex = wholeFlag(parsed, 'from') ?? 0;
    const jobs = jobsFrom(parsed);
    const sealedDir = sealedDirectory(parsed, io);
    const store = await storeBeside(parsed, io, sealedDir);
    // What of the store is at odds with itself says nothing of the log.
    const beside = store === undefined || sealedDir === undefined || store.fault !== undefined ? undefined : { before: store.generation, now: () => generationOf(sealedDir) };
    const known = await knownFrom(parsed, io, beside);
    const startMs = performance.now();
    const progress = createProgress(io);
    const verdict = await checkWholeLog({ directory, vkeys, fromIndex, jobs, known, onProgress: progress.to, ...(archive !== undefined && { archive: resolve(io.cwd, archive) }) });
    progress.end();

    const missing = verdict.origin === undefined ? undefined : missingKind(vkeys, verdict.origin);
    if (missing !== undefined) remark(parsed, io, missing);
    const ok = verdict.ok && store?.fault === undefined;
    print(parsed, io, { ...answerOf(verdict), ok, ...(store && { store: { ok: store.fault === undefined, ...store } }) }, () => [
      textOf(verdict, (performance.now() - startMs) / 1000),
      ...(store === undefined || store.authenticated ? [] : ['  keys       looked at without the root key: a private part that was changed in place would not be seen']),
      ...(store?.fault === undefined ? [] : [`the key store beside it is NOT as the service left it: ${printable(store.fault)}`]),
    ].join('\n'));
    return ok ? EXIT.ok : EXIT.invalid;
  },
};

function jobsFrom(parsed: Parsed): number {
  const jobs = wholeFlag(parsed, 'jobs') ?? Math.min(JOBS_DEFAULT_MAX, availableParallelism());
  if (jobs < 1 || jobs > JOBS_MAX) throw new UsageError(`--jobs is 1 to ${JOBS_MAX}`);
  return jobs;
}

/** The key store that the settings name: its history, the digests of its records, its generation. */
interface StoreBeside {
  readonly generation: number;
  /** Held against the root key: else a private part that was changed in place is not seen. */
  readonly authenticated: boolean;
  readonly fault?: string;
}

/** Where the directory of the log is named on the line, it is that log alone, unless settings are named too. */
async function storeBeside(parsed: Parsed, io: Io, directory: string | undefined): Promise<StoreBeside | undefined> {
  if (directory === undefined || (parsed.args.length > 0 && flag(parsed, 'config') === undefined)) return undefined;
  const rootKeys = await rootKeysIfGiven(parsed, io);
  const { generation, fault } = inspectStore(directory, rootKeys) ?? { generation: 0, fault: undefined };
  const isAuthenticated = rootKeys !== undefined;
  rootKeys?.destroy();
  return { generation, authenticated: isAuthenticated, ...(fault && { fault: fault.what }) };
}

function sealedDirectory(parsed: Parsed, io: Io): string | undefined {
  const { settings } = settingsWithDirectory(parsed, io);
  return settings['service.backend'] !== 'file' || settings['service.amnesia'] ? undefined : resolve(io.cwd, settings['backends.file.dir']);
}

/** An auditor has none; where the service's own settings are at hand, and what they name, the rows are authenticated too. */
async function rootKeysIfGiven(parsed: Parsed, io: Io): Promise<Keychain | undefined> {
  try {
    const { rootKeys } = await openInstance({ config: settingsWithDirectory(parsed, io), memory: createLockedMemory(), environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'] });
    return rootKeys;
  } catch {
    return undefined;
  }
}

async function knownFrom(parsed: Parsed, io: Io, beside: Known['storeGeneration']): Promise<Known> {
  const [anchorPath, checkpointPath] = [flag(parsed, 'anchor'), flag(parsed, 'known-checkpoint')];
  const storeGeneration = wholeFlag(parsed, 'store-generation') ?? beside;
  const anchor = anchorPath === undefined ? undefined : readAnchorRecord(await readSmall(anchorPath, io));
  if (anchorPath !== undefined && anchor === undefined) throw new UsageError(`${anchorPath} is not the file of an anchor, or is damaged`);
  return {
    ...(anchor !== undefined && { anchor: { origin: anchor.origin, value: anchor.value, head: { size: anchor.head.treeSize, rootHash: anchor.head.rootHash } } }),
    ...(checkpointPath !== undefined && { checkpoint: (await readSmall(checkpointPath, io)).toString('utf8') }),
    ...(storeGeneration !== undefined && { storeGeneration }),
  };
}

/** How far the check is, as it tells it: what it began behind does not count. */
function createProgress(io: Io) {
  let progress: ReturnType<typeof startProgress> | undefined;
  let at = 0;
  return {
    to(done: number, total: number): void {
      progress ??= startProgress(io, 'checking', total, inEntries);
      progress.advance(done - at);
      at = done;
    },
    end: () => progress?.end(),
  };
}

function answerOf({ ok, origin, size, rootHash, checkpoint, minimumIndex, openIntents, faults, faultCount }: LogVerdict) {
  return {
    ok, ...(origin !== undefined && { origin }), size, ...(rootHash !== undefined && { root_hash: rootHash.toString('base64') }),
    ...(checkpoint !== undefined && { checkpoint: { size: checkpoint.size, signed_by: vkeyTexts(checkpoint.signedBy), ...(checkpoint.timestampS !== undefined && { signed_at: formatRfc3339(checkpoint.timestampS * 1000) }) } }),
    minimum_index: minimumIndex, open_intents: openIntents, fault_count: faultCount, faults,
  };
}

function textOf(verdict: LogVerdict, seconds: number): string {
  const { ok, origin, size, rootHash, checkpoint, minimumIndex, openIntents, faults, faultCount } = verdict;
  const isMore = faultCount > faults.length;
  return [
    ...faults.map((fault) => printable(describeFault(fault))),
    ...(isMore ? [`and ${faultCount - faults.length} faults more`] : []),
    ok ? `the log ${printable(origin ?? '')} is as it was signed` : `the log ${printable(origin ?? '')} is NOT what was signed: ${faultCount} ${faultCount === 1 ? 'fault' : 'faults'}`,
    `  entries    ${size}${minimumIndex > 0 ? `, those below ${minimumIndex} by their hashes: they were pruned` : ''}; ${seconds.toFixed(1)} s`,
    ...(rootHash === undefined ? [] : [`  root       ${rootHash.toString('base64')}`]),
    ...(checkpoint === undefined ? [] : [`  checkpoint over ${checkpoint.size}${checkpoint.timestampS === undefined ? '' : `, signed at ${formatRfc3339(checkpoint.timestampS * 1000)}`}`]),
    ...(checkpoint?.signedBy ?? []).map((key) => `  signed by  ${keyName(key)}`),
    ...(openIntents === 0 ? [] : [`  open       ${openIntents} mutations have no outcome yet`]),
  ].join('\n');
}
