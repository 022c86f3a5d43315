import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { RootKeyMove } from '../ports/resealing.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authorise } from './authorise.ts';
import type { Caller, ClientCall } from './call.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KmsError } from '../core/errors.ts';
import { eventOf, ownCall } from './call.ts';
import { hashOfBody } from './mutate.ts';
import { reasonOf } from '../core/reason.ts';

export interface RekeyDeps {
  readonly authorise: Authorise;
  readonly audit: AuditLog;
  readonly clock: Clock;
  /** Undefined where no root key is. */
  readonly move: RootKeyMove | undefined;
  readonly report: { readonly telemetry: Telemetry; readonly random: Random };
}

/** How far it is; rows that are left under the root key before. */
export interface RekeyState {
  readonly isMoving: boolean;
  readonly left: number;
  readonly total: number;
}

export interface RekeyAnswer extends RekeyState {
  readonly audit: { readonly index: number; readonly opId: string };
}

/** A new root key for all that lies under the old one. */
export interface Rekey {
  /** POST /admin/rekey: the new root key is there, and the move begins; one that is under way goes on. */
  start(call: ClientCall, body: Readonly<Record<string, unknown>>): Promise<RekeyAnswer>;
  /** GET /admin/rekey. */
  state(caller: Caller): Promise<RekeyState>;
  /** Goes on with what a crash, a full disk or a stop has left; to be called about once a second. Never throws. */
  tick(): Promise<void>;
  /** Resolves when no step is under way; none begins after it. */
  stop(): Promise<void>;
}

const FLUSHED = { mustFlush: true };
const DONE = 'moved to the new root key';

/**
 * The new root key is durable before anything lies under it, and the old one goes when nothing does any more: a crash at
 * any point leaves each row under one of the two.
 */
export function makeRekey({ authorise, audit, clock, move, report: { telemetry, random } }: RekeyDeps): Rekey {
  let progress = { left: 0, total: 0 };
  let running: Promise<void> | undefined;
  let isStopped = false;

  const requireMove = (): RootKeyMove => {
    if (move === undefined) throw new KmsError('Unsupported', { hint: 'keys and log live in RAM: there is no root key to change' });
    return move;
  };
  const stateNow = (): RekeyState => ({ isMoving: requireMove().isMoving(), ...progress });

  const run = async (own: RootKeyMove): Promise<void> => {
    for (;;) {
      if (isStopped) return;
      progress = await own.step();
      if (progress.left === 0) break;
      await nextTurn();
    }
    await own.end();
    const call = ownCall('rekey', { clock, random });
    await audit.append([eventOf(call, { inputHash: hashOfBody({}), result: 'ok', reason: DONE })], FLUSHED);
    telemetry.event('info', 'rekeyed', { rows: progress.total });
  };

  /** One at a time; what fails is tried again with the next tick. */
  const goOn = (own: RootKeyMove): void => {
    running ??= run(own)
      .catch((fault: unknown) => telemetry.event('error', 'rekey_failed', { why: reasonOf(fault) }))
      .finally(() => { running = undefined; });
  };

  return {
    async start(call, body) {
      authorise.instance(call.caller, 'kms:admin');
      const own = requireMove();
      const inputHash = hashOfBody(body);
      const { firstIndex } = await audit.append([eventOf(call, { inputHash, result: 'intent' })], FLUSHED);
      call.isLogged = true;
      try {
        await own.begin();
      } catch (fault) {
        const refusal = KmsError.from(fault);
        await audit.append([eventOf(call, { inputHash, result: refusal.code, reason: refusal.hint })], FLUSHED);
        throw refusal;
      }
      await audit.append([eventOf(call, { inputHash, result: 'ok' })], FLUSHED);
      goOn(own);
      return { ...stateNow(), audit: { index: firstIndex, opId: call.opId } };
    },

    async state(caller) {
      authorise.instance(caller, 'kms:admin');
      return stateNow();
    },

    async tick() {
      if (move?.isMoving() === true && !isStopped && audit.isReady()) goOn(move);
    },

    async stop() {
      isStopped = true;
      await running;
    },
  };
}
