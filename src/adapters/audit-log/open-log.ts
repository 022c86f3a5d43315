import type { AuditEvent } from '../../core/log/entry.ts';
import type { Random } from '../../ports/random.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { AnchorProof } from '../../ports/anchor.ts';
import type { AuditReader } from '../../ports/audit-reader.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { SignedHead } from './body.ts';
import type { CheckpointerStart } from './checkpointer.ts';
import type { Log, LogDeps } from './log.ts';
import type { Recovered } from './recovery.ts';
import { EMPTY_ROOT } from '../../../client/src/log/hash.ts';
import { entryAttestation } from '../../core/log/entry.ts';
import { KmsError } from '../../core/errors.ts';
import { consistencyProof } from '../../core/log/proofs.ts';
import { createAppender } from './appender.ts';
import { createBody } from './body.ts';
import { createCheckpointer } from './checkpointer.ts';
import { createGroupEncoder } from './group.ts';
import { ownEvent } from './own-event.ts';
import { createReader } from './reader.ts';
import { recoverLog } from './recovery.ts';

const QUEUE_MAX = 2048;
const SEAL_BYTES = 16 << 20;
/** Memory is not the place for entries that cannot be handed over as tiles: at so many times the tail's size no more are taken. */
const TAIL_LIMIT_FACTOR = 4;

/**
 * Opens the log that a storage holds: checks it, writes the entry of this start, and a checkpoint over it. A storage
 * that is at odds with itself opens too, with `integrityFault`, for reading only. Throws when it cannot be written.
 */
export async function openLog(deps: LogDeps): Promise<Log> {
  const { storage, signer, clock, random, options, observe } = deps;
  const recovered = await recover(deps);
  const { tail, ledger, newest, sealedSize } = recovered;
  const body = createBody(recovered);
  let integrityFault = recovered.fault;
  let isBegun = false;

  const isTailFull = (): boolean => tail.bytes() >= TAIL_LIMIT_FACTOR * storage.tailMaxBytes;
  /** A tail that is full means that tiles come too slowly, or that they cannot be written. */
  const refusal = (): ErrorCode | undefined => {
    if (integrityFault !== undefined) return 'AuditUnavailable';
    if (!isTailFull()) return undefined;
    return checkpointer.isRecent() ? 'Backpressure' : 'AuditUnavailable';
  };

  const appender = createAppender({
    storage, body, random,
    encoder: createGroupEncoder({ clock, random, ledger, headRoomBytes: storage.headRoomBytes }),
    options: { durability: options.durability, queueMax: options.queueMax ?? QUEUE_MAX },
    refusal,
    events: {
      appended: () => checkpointer.grown(),
      writeFailed: (fault) => observe?.onWriteFault?.(fault),
      refused: (code, entries) => observe?.onRefused?.(code, entries),
    },
  });
  const checkpointer = createCheckpointer({
    storage, appender, body, signer, clock,
    options: { everyOps: options.checkpointEveryOps, sealBytes: options.sealBytes ?? SEAL_BYTES, onCheckpoint: observe?.onCheckpoint },
  }, { newest, sealedSize });
  const reader = createReader({ storage, body, checkpointer, signer });

  const end = async (): Promise<void> => {
    await appender.stop();
    await checkpointer.stop();
    await storage.close();
  };

  const log: Log = {
    ...reader,
    append: (events, how) => appender.append(events, how?.mustFlush === true),
    lastEntryMs: ledger.lastMs,
    isReady: () => refusal() !== 'AuditUnavailable' && appender.isWriting(),
    checkpointNow: checkpointer.now,
    anchorProof: () => proofOf(checkpointer.newest(), reader),
    addCosignatures: checkpointer.addCosignatures,
    changeKeys: checkpointer.changeKeys,
    isCheckpointRecent: () => integrityFault === undefined && checkpointer.isRecent(),
    lastGeneration: () => ledger.head().generation,
    lastAnchorValue: () => ledger.head().anchorValue,
    openIntents: () => ledger.head().intents,
    announcedKeys: () => ledger.head().announced,
    keySeq: ledger.keySeq,
    waiting: appender.waiting,
    integrityFault: () => integrityFault,
    failIntegrity(what) {
      integrityFault ??= what;
      appender.refuse();
    },
    async stop() {
      try {
        if (integrityFault !== undefined || !isBegun) return;
        await appender.drain();
        // Model: [final checkpoint].
        await checkpointer.finish();
      } finally {
        await end();
      }
    },
  };
  try {
    if (integrityFault === undefined && (await deps.mayBegin?.(log)) !== false) {
      isBegun = true;
      await begin(log, deps, { newest, sealedSize });
    } else appender.refuse();
  } catch (fault) {
    await end();
    throw fault;
  }
  return log;
}

async function recover({ storage, signer }: LogDeps): Promise<Recovered> {
  try {
    return recoverLog(storage.stored, signer, storage.minimumIndex());
  } catch (fault) {
    await storage.close();
    throw fault;
  }
}

/** From here on the storage is written to. */
async function begin(log: Log, { storage, signer, random, options }: LogDeps, { newest, sealedSize }: CheckpointerStart): Promise<void> {
  await finishKeyChange(log, signer);
  await storage.begin(log.size(), sealedSize ?? 0);
  const event = log.size() === 0
    ? { ...startOf(signer, options.replaces, random), generation: options.firstGeneration }
    : ownEvent('checkpoint-start', { checkpoint: { size: newest?.size ?? 0, root_hash: (newest?.rootHash ?? EMPTY_ROOT).toString('base64') } }, random);
  await log.append([event], { mustFlush: true });
  try {
    await log.checkpointNow();
  } catch {
    // `onCheckpoint` has told, and readiness says so until one succeeds.
  }
}

function startOf(signer: LogSigner, replaces: LogDeps['options']['replaces'], random: Random): AuditEvent {
  const keys = signer.keys().map(({ vkey }) => vkey);
  const attested = signer.attestationOf(keys);
  return {
    ...ownEvent('log-keys', { log_keys: { keys, reason: 'start', ...(attested && { attestation_key: attested.key }) }, ...(replaces && { replaces }) }, random),
    ...(attested && { attestation: entryAttestation(attested) }),
  };
}

/** A crash may fall between the entry that announces new keys and their activation: the old ones sign nothing behind it. */
async function finishKeyChange(log: Log, signer: LogSigner): Promise<void> {
  const announced = log.announcedKeys();
  if (announced !== undefined && String(announced.detail.keys) === String(signer.prepared()?.keys)) await signer.activate(announced.index);
}

function proofOf(newest: SignedHead | undefined, reader: AuditReader): AnchorProof | undefined {
  if (newest === undefined) return undefined;
  const { size, rootHash, note } = newest;
  return {
    origin: reader.origin, treeSize: size, rootHash, note,
    consistencyFrom: (oldSize) =>
      consistencyProof(oldSize, size, async (level, index, width) => {
        const tile = await reader.tile(level, index, width);
        if (tile === undefined) throw new KmsError('AuditUnavailable', { cause: new Error(`tile ${level}/${index} is missing`) });
        return tile;
      }),
  };
}
