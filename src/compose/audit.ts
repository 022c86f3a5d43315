import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { SignaturePrimitive } from '../adapters/crypto/signatures.ts';
import type { Log } from '../adapters/audit-log/log.ts';
import type { NumberRow } from '../adapters/telemetry/metrics.ts';
import type { Config } from '../config/load.ts';
import type { SignatureSchemeName } from '../core/algorithm/table.ts';
import type { EntryDetail } from '../core/log/entry.ts';
import type { RootKeys } from '../adapters/root-key/root-keys.ts';
import type { Anchor } from '../ports/anchor.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { Random } from '../ports/random.ts';
import type { Instance } from './open-instance.ts';
import { join } from 'node:path';
import { openFileStorage } from '../adapters/audit-file/storage.ts';
import { openLog } from '../adapters/audit-log/open-log.ts';
import { createMemoryStorage } from '../adapters/audit-memory/storage.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { createMemoryLogSigner, openLogSigner } from '../adapters/log-keys/open.ts';
import { lookAtAnchor } from '../service/anchoring.ts';
import { anchorOf } from './anchor.ts';
import { logDevicesOf } from './evidence.ts';
import type { Devices } from './devices.ts';
import { INSTANCE_FILES } from './open-instance.ts';

export interface AuditDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly memory: LockedMemory;
  readonly signatures: Readonly<Record<SignatureSchemeName, SignaturePrimitive>>;
  /** Undefined under amnesia. */
  readonly instance: Pick<Instance, 'instanceId'> & { readonly rootKeys: RootKeys } | undefined;
  readonly devices: Devices;
  /** Nothing is written: the log is only looked at. */
  readonly isLookingOnly?: boolean;
  /** A new log after an accepted roll-back. */
  readonly begins?: { readonly replaces: NonNullable<EntryDetail['replaces']>; readonly firstGeneration: number };
}

/** The log of this service, its keys, and what is counted of it. */
export interface OpenedAudit {
  readonly log: Log;
  readonly signer: LogSigner;
  /** Where the files are; undefined under amnesia. */
  readonly directory: string | undefined;
  readonly anchor: Anchor | undefined;
  /** What the anchor knows better, seen before anything was written: nothing was. */
  readonly anchorFault: string | undefined;
  /** Why entries could not be written, since this was last asked. */
  takeWriteFaults(): readonly string[];
  readonly metrics: Readonly<Record<string, NumberRow>>;
}

/** Opens the keys and the log: in RAM under amnesia, else below `audit.dir`. Throws with what the operator has to do. */
export async function openAudit(deps: AuditDeps): Promise<OpenedAudit> {
  const { config: { settings }, clock, random, isLookingOnly = false, begins } = deps;
  const directory = settings['service.amnesia'] ? undefined : settings['audit.dir'];
  const signer = await openSigner(deps, directory);
  const checkpoints: Record<string, number> = { ok: 0 };
  const refused: Record<string, number> = {};
  const writeFaults: string[] = [];
  const anchor = await anchorOf(settings, signer, clock, deps.devices);
  let anchorFault: string | undefined;
  const log = await openLog({
    storage: directory === undefined ? createMemoryStorage(settings['audit.memory_max']) : await openFileStorage(directory),
    signer, clock, random,
    options: { durability: settings['audit.durability'], checkpointEveryOps: settings['audit.checkpoint_interval_ops'], ...begins },
    observe: {
      onWriteFault: (fault) => writeFaults.push(reasonOf(fault)),
      onCheckpoint: (result) => countIn(checkpoints, result, 1),
      onRefused: (code, entries) => countIn(refused, code, entries),
    },
    async mayBegin(found) {
      const newest = found.anchorProof();
      if (anchor !== undefined && newest !== undefined) anchorFault = await lookAtAnchor(anchor, found.lastAnchorValue(), newest);
      return anchorFault === undefined && !isLookingOnly;
    },
  });
  const sizeAtStart = log.size();
  return {
    log, signer, directory, anchor, anchorFault,
    takeWriteFaults: () => writeFaults.splice(0),
    metrics: {
      kms_audit_tree_size: { help: 'Entries in the audit log.', read: log.size },
      kms_audit_appends_total: { help: 'Entries that the log took or did not take.', isCounter: true, label: 'result', read: () => ({ ok: log.size() - sizeAtStart, ...refused }) },
      kms_audit_checkpoint_total: { help: 'Checkpoints by how they ended.', isCounter: true, label: 'result', read: () => checkpoints },
    },
  };
}

async function openSigner({ config: { settings }, clock, random, signatures, memory, instance, devices }: AuditDeps, directory: string | undefined): Promise<LogSigner> {
  const keyOverlapMs = settings['audit.key_overlap'];
  if (directory === undefined || instance === undefined) return createMemoryLogSigner({ instanceId: random.uuidv7(), signatures, memory, keyOverlapMs, nowMs: clock.wallMs() });
  return openLogSigner({ ...instance, file: durableFile(join(directory, INSTANCE_FILES.logKeys)), signatures, memory, keyOverlapMs, devicesFor: await logDevicesOf(settings, devices) });
}

function reasonOf(fault: unknown): string {
  return fault instanceof Error ? ('code' in fault ? String(fault.code) : fault.message) : 'not an error';
}

function countIn(counts: Record<string, number>, name: string, by: number): void {
  counts[name] = (counts[name] ?? 0) + by;
}
