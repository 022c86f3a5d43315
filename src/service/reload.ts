import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { SettingsSource } from '../ports/settings.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authorise } from './authorise.ts';
import type { Call, ClientCall } from './call.ts';
import { KmsError } from '../core/errors.ts';
import { eventOf, ownCall } from './call.ts';
import { hashOfBody } from './mutate.ts';

export interface ReloadDeps {
  readonly authorise: Authorise;
  readonly audit: AuditLog;
  readonly settings: SettingsSource;
  /** Throws what stands against any change. */
  readonly requireWritable: () => void;
  readonly report: { readonly telemetry: Telemetry; readonly clock: Clock; readonly random: Random };
}

export interface ReloadAnswer {
  readonly configVersion: string;
}

/** The settings are taken anew: all of them or none, and the log says what changed before anything goes by it. */
export interface Reload {
  /** POST /admin/reload. */
  byCall(call: ClientCall): Promise<ReloadAnswer>;
  /** By the operator, from outside (SIGHUP). Never throws: what stands against it is told, and on `/readyz`. */
  byOperator(): Promise<void>;
  /** Why the last one was not taken; undefined when it was. */
  fault(): string | undefined;
}

/** An entry holds so many changes; of the rest it says how many there are. */
const CHANGES_MAX = 100;
const FLUSHED = { mustFlush: true };

export function makeReload({ authorise, audit, settings, requireWritable, report: { telemetry, clock, random } }: ReloadDeps): Reload {
  let fault: string | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const take = async (call: Call): Promise<ReloadAnswer> => {
    const found = settings.look();
    if ('refused' in found) {
      telemetry.event('error', 'reload_refused', { why: found.refused });
      fault = found.refused;
      throw new KmsError('BadRequest', { hint: 'the settings cannot be taken, and the ones before stay; /readyz and the log of the service say why' });
    }
    const { version, changes, apply } = found;
    const detail = { config: { version, changes: changes.slice(0, CHANGES_MAX), ...(changes.length > CHANGES_MAX && { more: changes.length - CHANGES_MAX }) } };
    await audit.append([{ ...eventOf(call, { inputHash: hashOfBody({}), result: 'ok' }), detail }], FLUSHED);
    apply();
    fault = undefined;
    telemetry.event('info', 'reloaded', { config_version: version, changes: changes.length });
    return { configVersion: version };
  };

  /** One after the other: each is held against what the one before has made. */
  const inTurn = (call: Call): Promise<ReloadAnswer> => {
    const mine = turn.then(() => take(call));
    turn = mine.catch(() => undefined);
    return mine;
  };

  return {
    async byCall(call) {
      authorise.instance(call.caller, 'kms:admin');
      return inTurn(call);
    },
    async byOperator() {
      try {
        requireWritable();
        await inTurn(ownCall('reload', { clock, random }));
      } catch (refusal) {
        const { code, hint } = KmsError.from(refusal);
        if (code === 'BadRequest') return;
        fault = `the log could not take the reload (${code}): send it again`;
        telemetry.event('error', 'reload_refused', { why: hint ?? code });
      }
    },
    fault: () => fault,
  };
}
