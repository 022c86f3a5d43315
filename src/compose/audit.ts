import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { SignaturePrimitive } from '../adapters/crypto/signatures.ts';
import type { Log } from '../adapters/audit-log/log.ts';
import type { NumberRow } from '../adapters/telemetry/metrics.ts';
import type { Config } from '../config/load.ts';
import type { SignatureSchemeName } from '../core/algorithm/table.ts';
import type { Anchor } from '../ports/anchor.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Anchoring } from '../service/anchoring.ts';
import { parseVkey, SIGNATURE_TYPE } from '../../client/src/log/vkey.ts';
import { createFileAnchor } from '../adapters/anchor-file/anchor.ts';
import { createWitnessAnchor } from '../adapters/anchor-witness/anchor.ts';
import { openFileStorage } from '../adapters/audit-file/storage.ts';
import { openLog } from '../adapters/audit-log/open-log.ts';
import { createMemoryStorage } from '../adapters/audit-memory/storage.ts';
import { createMemoryLogSigner } from '../adapters/log-keys/open.ts';
import { KmsError } from '../core/errors.ts';
import { createAnchoring } from '../service/anchoring.ts';
import { openLogKeys } from './open-log-keys.ts';

export interface AuditDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly memory: LockedMemory;
  readonly signatures: Readonly<Record<SignatureSchemeName, SignaturePrimitive>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
}

/** The log of this service with all that keeps it. */
export interface OpenedAudit {
  readonly log: Log;
  readonly signer: LogSigner;
  /** Where the files are; undefined under amnesia. */
  readonly directory: string | undefined;
  /** Appends to the log, and counts what it did not take. */
  readonly audit: AuditLog;
  readonly metrics: Readonly<Record<string, NumberRow>>;
}

/** Opens the keys and the log: in RAM under amnesia, else below `audit.dir`. Throws with what the operator has to do. */
export async function openAudit({ config, clock, random, memory, signatures, environment, credentialsDirectory }: AuditDeps): Promise<OpenedAudit> {
  const { settings } = config;
  const isAmnesiac = settings['service.amnesia'];
  const signer = isAmnesiac
    ? await createMemoryLogSigner({ instanceId: random.uuidv7(), signatures, memory, keyOverlapMs: settings['audit.key_overlap'], nowMs: clock.wallMs() })
    : await openLogKeys({ config, environment, credentialsDirectory, signatures, memory });

  const checkpoints: Record<string, number> = { ok: 0 };
  const refused: Record<string, number> = {};
  const log = await openLog({
    storage: isAmnesiac ? createMemoryStorage(settings['audit.memory_max']) : await openFileStorage(settings['audit.dir']),
    signer, clock, random,
    options: { durability: settings['audit.durability'], checkpointEveryOps: settings['audit.checkpoint_interval_ops'] },
    observe: { onCheckpoint: (result) => countIn(checkpoints, result) },
  });
  const sizeAtStart = log.size();
  const audit: AuditLog = {
    append(events, how) {
      const appended = log.append(events, how);
      appended.catch((fault: unknown) => countIn(refused, KmsError.from(fault).code, events.length));
      return appended;
    },
    lastEntryMs: log.lastEntryMs,
    isReady: log.isReady,
  };
  return {
    log, signer, audit,
    directory: isAmnesiac ? undefined : settings['audit.dir'],
    metrics: {
      kms_audit_tree_size: { help: 'Entries in the audit log.', read: log.size },
      kms_audit_appends_total: { help: 'Entries that the log took or did not take.', isCounter: true, label: 'result', read: () => ({ ok: log.size() - sizeAtStart, ...refused }) },
      kms_audit_checkpoint_total: { help: 'Checkpoints by how they ended.', isCounter: true, label: 'result', read: () => checkpoints },
    },
  };
}

/** What anchors this log, as the settings say; undefined where nothing does. */
export function openAnchoring({ log, signer }: OpenedAudit, { config: { settings }, clock, random }: Pick<AuditDeps, 'config' | 'clock' | 'random'>, telemetry: Telemetry): Anchoring | undefined {
  const anchor = anchorOf(log, signer, settings, clock);
  return anchor && createAnchoring({
    anchor, clock, random, telemetry, intervalMs: settings['audit.anchor_interval'],
    log: {
      append: log.append, checkpointNow: log.checkpointNow, lastAnchorValue: log.lastAnchorValue, addCosignatures: log.addCosignatures,
      headProof() {
        const proof = log.anchorProof();
        if (proof === undefined) throw new KmsError('AuditUnavailable');
        return proof;
      },
    },
  });
}

function anchorOf(log: Log, signer: LogSigner, settings: Config['settings'], clock: Clock): Anchor | undefined {
  const { 'audit.anchor_path': path, 'audit.witness_url': url, 'audit.witness_vkey': vkey } = settings;
  if (settings['audit.anchor'] === 'file' && path !== undefined) return createFileAnchor({ path, origin: log.origin, mac: signer.mac });
  if (settings['audit.anchor'] !== 'witness' || url === undefined || vkey === undefined) return undefined;
  const key = parseVkey(vkey);
  if (key === undefined || key.type === SIGNATURE_TYPE.ed25519) throw new Error('audit.witness_vkey is no verifier key of a witness: its type is 4 or 6, and its id fits its name and key');
  return createWitnessAnchor({ url, key, clock, logKeys: () => signer.keys().flatMap((one) => parseVkey(one.vkey) ?? []) });
}

function countIn(counts: Record<string, number>, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}
