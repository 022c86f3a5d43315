import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { AuditEvent } from '../../src/core/log/entry.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { TestSigner } from './log-signer.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { createMemoryStorage } from '../../src/adapters/audit-memory/storage.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { KmsError } from '../../src/core/errors.ts';
import { createTestSigner } from './log-signer.ts';

/** A log that can be told to fail, and that remembers how it was asked. */
export interface BreakableLog extends Log {
  /** Every append fails with this from now on; undefined mends it. `isReady` says so, unless it is not known yet. */
  breakWith(code: ErrorCode | undefined, options?: { readonly isKnown?: boolean; readonly only?: (event: AuditEvent) => boolean }): void;
  /** The appends so far: what, and whether it had to be flushed. */
  readonly asked: readonly { readonly events: readonly AuditEvent[]; readonly mustFlush: boolean }[];
  /** Makes the checkpoints; can be told to fail. */
  readonly signer: TestSigner;
}

export interface BreakableLogOptions {
  readonly clock?: Clock;
  readonly signer?: TestSigner;
  /** What it keeps. */
  readonly maxBytes?: number;
}

/** The service's own log, in RAM. */
export async function openBreakableLog({ clock = systemClock, signer = createTestSigner(), maxBytes = 1 << 26 }: BreakableLogOptions = {}): Promise<BreakableLog> {
  const log = await openLog({ storage: createMemoryStorage(maxBytes), signer, clock, random: createSystemRandom(), options: { durability: 'disk', checkpointEveryOps: 5000 } });
  let broken: ErrorCode | undefined;
  let isReady = true;
  let isMeant = (_event: AuditEvent): boolean => broken !== undefined;
  const asked: { events: readonly AuditEvent[]; mustFlush: boolean }[] = [];
  return {
    ...log, asked, signer,
    async append(events, options) {
      asked.push({ events, mustFlush: options?.mustFlush ?? false });
      if (broken !== undefined && events.some((event) => isMeant(event))) throw new KmsError(broken);
      return log.append(events, options);
    },
    isReady: () => isReady && log.isReady(),
    breakWith(code, { isKnown = false, only = () => true } = {}) {
      broken = code;
      isReady = !isKnown;
      isMeant = only;
    },
  };
}
