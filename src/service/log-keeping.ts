import type { AuditLog } from '../ports/audit-log.ts';
import type { AuditReader } from '../ports/audit-reader.ts';
import type { Clock } from '../ports/clock.ts';
import type { LogKeysDetail, LogSigner } from '../ports/log-signer.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Call } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import { entryAttestation } from '../core/log/entry.ts';
import { KmsError } from '../core/errors.ts';
import { eventOf, ownCall } from './call.ts';
import { hashOfBody } from './mutate.ts';

export interface LogKeepingDeps {
  readonly signer: LogSigner;
  readonly audit: AuditLog;
  readonly reader: Pick<AuditReader, 'size' | 'checkpoint'>;
  /** Runs the change while no checkpoint is made. */
  readonly changeKeys: <T>(change: () => Promise<T>) => Promise<T>;
  readonly clocks: { readonly clock: Clock; readonly guard: Pick<ClockGuard, 'isTrusted'> };
  readonly report: { readonly telemetry: Telemetry; readonly random: Random };
  /** `audit.key_rotation`. */
  readonly keyRotationMs: number;
}

interface RotateRequest {
  /** Stops the keys before at once. */
  readonly isCompromised: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

interface RotateAnswer {
  readonly keys: readonly string[];
  /** When the keys before these stop to sign. */
  readonly until: string | undefined;
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface LogKeyKeeping {
  /**
   * New log keys, announced by an entry of this call and signing when it returns. A fault leaves either nothing, or an
   * entry whose keys the next `tick` activates, or the log when it is opened again.
   */
  rotate(call: Call, request: RotateRequest): Promise<RotateAnswer>;
  /** Moves the keys under the newest root key, while nothing else changes them. */
  move(): Promise<void>;
  /** Drops keys whose overlap has ended, and makes new ones when it is time; to be called about once a second. Never throws. */
  tick(): Promise<void>;
}

const RETRY_MS = 60_000;
const FLUSHED = { mustFlush: true };

/**
 * Makes log keys change in an order that a crash cannot spoil: prepared on disk, announced in the log, activated on disk.
 * The keys before sign no checkpoint over the entry that announces the new ones: after a compromise they may not.
 */
export function makeLogKeyKeeping({ signer, audit, reader, changeKeys, clocks: { clock, guard }, report: { telemetry, random }, keyRotationMs }: LogKeepingDeps): LogKeyKeeping {
  /** The entry of keys that are announced and whose activation failed. */
  let announcedAt: number | undefined;
  let lastTurn: Promise<unknown> = Promise.resolve();
  let retryAtMs = 0;

  /** One change of keys at a time. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = lastTurn.then(work);
    lastTurn = turn.catch(() => undefined);
    return turn;
  };

  const announce = async (call: Call, inputHash: string, detail: LogKeysDetail): Promise<number> => {
    const attested = signer.attestationOf(detail.keys);
    const { firstIndex } = await audit.append([{ ...eventOf(call, { inputHash, result: 'ok' }), ...(attested && { attestation: entryAttestation(attested) }), detail: { log_keys: detail } }], FLUSHED);
    call.isLogged = true;
    return firstIndex;
  };

  const activate = async (index: number): Promise<void> => {
    announcedAt = index;
    await signer.activate(index);
    announcedAt = undefined;
    telemetry.event('info', 'log_keys_changed', { index });
  };

  const activateAnnounced = async (): Promise<void> => {
    const index = announcedAt;
    if (index !== undefined) await changeKeys(() => activate(index));
  };

  const rotate = (call: Call, reason: 'scheduled' | 'command' | 'compromised', inputHash: string): Promise<RotateAnswer> => inTurn(async () => {
    // Keys that are announced come first: the next are to be signed by them.
    await activateAnnounced();
    const detail = await signer.prepare(reason, clock.wallMs(), reader.size());
    const index = await changeKeys(async () => {
      const at = await announce(call, inputHash, detail);
      await activate(at);
      return at;
    });
    return { keys: detail.keys, until: detail.until, audit: { index, opId: call.opId } };
  });

  const rotateOnSchedule = async (nowMs: number): Promise<void> => {
    if (nowMs < signer.newestMs() + keyRotationMs || nowMs < retryAtMs || !audit.isReady()) return;
    retryAtMs = nowMs + RETRY_MS;
    await rotate(ownCall('log-keys', { clock, random }), 'scheduled', hashOfBody({ reason: 'scheduled' }));
    retryAtMs = 0;
  };

  return {
    rotate: (call, { isCompromised, body }) => rotate(call, isCompromised ? 'compromised' : 'command', hashOfBody(body)),

    move: () => inTurn(() => signer.move()),

    async tick() {
      if (!guard.isTrusted()) return;
      try {
        const nowMs = clock.wallMs();
        await inTurn(async () => {
          await activateAnnounced();
          const newest = reader.checkpoint();
          if (newest !== undefined) await signer.retire(nowMs, newest.size, newest.note);
        });
        await rotateOnSchedule(nowMs);
      } catch (fault) {
        telemetry.event('error', 'log_keys_not_kept', { code: KmsError.from(fault).code });
      }
    },
  };
}
