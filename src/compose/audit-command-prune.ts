import type { Io, Parsed } from '../cli/command.ts';
import type { Config } from '../config/load.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { PruneLimit, PrunePlan } from '../adapters/audit-prune/plan.ts';
import type { Recovered } from '../adapters/audit-log/recovery.ts';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openFileStorage } from '../adapters/audit-file/storage.ts';
import { openLogFiles } from '../adapters/audit-check/log-files.ts';
import { recoverLog } from '../adapters/audit-log/recovery.ts';
import { carryOut } from '../adapters/audit-prune/carry-out.ts';
import { planPrune } from '../adapters/audit-prune/plan.ts';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { print } from '../cli/answer.ts';
import { timeFlag } from '../cli/audit-filter.ts';
import { UsageError } from '../cli/command.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { flag, isOn } from '../cli/flags.ts';
import { inEntries, startProgress } from '../cli/progress.ts';
import { settingsWithDirectory } from './audit-command-directory.ts';
import { parseDuration } from '../core/time.ts';
import { INSTANCE_FILES } from './open-instance.ts';
import { openLogKeys } from './open-log-keys.ts';

interface PruneJob {
  readonly directory: string;
  readonly before: string;
  readonly archive: string | undefined;
  readonly isForReal: boolean;
}

/** What runs `ron-kms audit prune`: as a start of the service would, it opens the keys of the log and holds all of it together first. */
export async function prune(parsed: Parsed, io: Io): Promise<number> {
  const before = beforeFrom(parsed);
  const config = settingsWithDirectory(parsed, io);
  const directory = resolve(io.cwd, config.settings['audit.dir']);
  if (!existsSync(join(directory, INSTANCE_FILES.identity))) throw new UsageError(`${directory} holds no log that was made with ron-kms init`);
  const archive = flag(parsed, 'archive');
  const job = { directory, before, archive: archive === undefined ? undefined : resolve(io.cwd, archive), isForReal: isOn(parsed, 'yes') };
  const storage = await openFileStorage(directory);
  try {
    const signer = await signerOf(config, io);
    const plan = planFor(job, io, recovered(storage, signer), storage.minimumIndex());
    if (job.isForReal && plan.bundles.length > 0) await carry(job, plan, io);
    print(parsed, io, answerOf(job, plan), () => textOf(job, plan));
    return EXIT.ok;
  } finally {
    await storage.close();
  }
}

function beforeFrom(parsed: Parsed): string {
  const [before, keep] = [timeFlag(parsed, 'before'), flag(parsed, 'keep')];
  if (keep !== undefined && parseDuration(keep) === undefined) throw new UsageError('--keep is a duration such as 400d');
  const time = before ?? timeFlag(parsed, 'keep');
  if (time === undefined || (before !== undefined && keep !== undefined)) throw new UsageError('give one of --before <day or time> and --keep <duration>');
  return time;
}

function signerOf(config: Config, io: Io): Promise<LogSigner> {
  const memory = createLockedMemory();
  const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: createPublicKeyCache(8) });
  return openLogKeys({ config, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'], signatures, memory });
}

type Storage = Awaited<ReturnType<typeof openFileStorage>>;

function recovered({ stored, minimumIndex }: Storage, signer: LogSigner): Recovered {
  const found = recoverLog(stored, signer, minimumIndex());
  if (found.fault !== undefined) throw new Error(`nothing was pruned, as the log is at odds with itself: ${found.fault}`);
  return found;
}

function planFor({ directory, before }: PruneJob, io: Io, { newest, sealedSize, ledger }: Recovered, minimumIndex: number): PrunePlan {
  const limits: readonly PruneLimit[] = [
    { index: newest?.size ?? 0, why: 'the newest checkpoint covers no more' },
    { index: sealedSize ?? 0, why: 'the log was sealed there: entries behind are needed to start' },
    ...ledger.head().intents.map(({ index }) => ({ index, why: `the intent of entry ${index} has no outcome yet` })),
  ];
  const limit = limits.reduce((lowest, one) => (one.index < lowest.index ? one : lowest));
  const progress = startProgress(io, 'looking', limit.index - minimumIndex, inEntries);
  const plan = planPrune({ files: openLogFiles(directory), before, minimumIndex, limit, onProgress: progress.advance });
  progress.end();
  return plan;
}

async function carry({ directory, archive }: PruneJob, plan: PrunePlan, io: Io): Promise<void> {
  const progress = startProgress(io, 'archiving', plan.minimumIndex, inEntries);
  await carryOut({ directory, plan, archive, onProgress: progress.advance });
  progress.end();
}

function answerOf({ before, archive, isForReal }: PruneJob, { minimumIndex, bundles, bytes, kept, stoppedBy }: PrunePlan) {
  return {
    done: isForReal, before, minimum_index: minimumIndex, bundles: bundles.length, bytes, kept_bundles: kept.length,
    ...(stoppedBy !== undefined && { stopped_by: stoppedBy }), ...(archive !== undefined && { archive }),
  };
}

const MB = 1_000_000;

function textOf({ before, archive, isForReal }: PruneJob, { minimumIndex, bundles, bytes, kept, stoppedBy }: PrunePlan): string {
  if (bundles.length === 0) return `nothing is to be pruned: no full bundle of entries is older than ${before}${stoppedBy === undefined ? '' : `, or ${stoppedBy}`}`;
  return [
    `${isForReal ? 'pruned' : 'to be pruned'}: ${bundles.length} bundles of 256 entries, ${(bytes / MB).toFixed(1)} MB; entries below ${minimumIndex} ${isForReal ? 'are' : 'would be'} there by their hashes`,
    ...(kept.length === 0 ? [] : [`  kept       ${kept.length} bundles below, as they announce keys of the log`]),
    ...(stoppedBy === undefined ? [] : [`  no further ${stoppedBy}`]),
    archive === undefined ? '  archive    none: they are gone for good' : `  archive    ${archive}; ron-kms audit verify --archive checks it with the log`,
    ...(isForReal ? [] : ['Nothing was changed. With --yes it is done.']),
  ].join('\n');
}
