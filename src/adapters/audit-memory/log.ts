import type { AuditEvent } from '../../core/log/entry.ts';
import type { AuditLog } from '../../ports/audit-log.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import { encodeEntry } from '../../core/log/entry.ts';
import { formatRfc3339 } from '../../core/time.ts';
import { createKeptEntries } from './kept-entries.ts';

export interface MemoryLogDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** `audit.memory_max`: the newest entries up to this many bytes are kept. */
  readonly keptMaxBytes: number;
}

/** An append-only log in RAM that keeps its newest entries; also tells what it holds, for tests and readers. */
export interface MemoryLog extends AuditLog {
  /** The canonical JSON of an entry; undefined when it is not there any more, or not yet. */
  entry(index: number): string | undefined;
  size(): number;
}

const SALT_BYTES = 16;
const SALTS_AT_ONCE = 256;

export function createMemoryLog({ clock, random, keptMaxBytes }: MemoryLogDeps): MemoryLog {
  const bootId = random.uuidv7();
  const keySeqs = new Map<string, number>();
  const kept = createKeptEntries(keptMaxBytes);
  const nextSalt = createSalts(random);
  let lastEntryMs = 0;
  let released: Promise<void> | undefined;

  const stamp = (event: AuditEvent) => {
    // An entry never stands before the one in front of it, whatever the wall clock does.
    lastEntryMs = Math.max(lastEntryMs, clock.wallMs());
    return {
      salt: nextSalt(),
      boot_id: bootId,
      ts: formatRfc3339(lastEntryMs),
      mono_ns: clock.monotonicNs().toString(),
      key_seq: event.kid === undefined ? undefined : countUp(keySeqs, event.kid.slice(0, event.kid.lastIndexOf('#'))),
    };
  };

  /** Waiters are let go together, once per turn of the event loop: many answers then leave in few wake-ups. */
  const endOfTurn = (): Promise<void> => {
    released ??= new Promise((resolve) => {
      setImmediate(() => {
        released = undefined;
        resolve();
      });
    });
    return released;
  };

  return {
    async append(events) {
      const firstIndex = kept.size();
      for (const event of events) kept.push(encodeEntry(event, stamp(event)));
      await endOfTurn();
      return { firstIndex };
    },
    lastEntryMs: () => lastEntryMs,
    isReady: () => true,
    entry: kept.at,
    size: kept.size,
  };
}

/** Salts cut from larger draws: one system call for many entries. */
function createSalts(random: Random): () => string {
  let pool = '';
  let at = 0;
  return () => {
    if (at === pool.length) {
      pool = random.bytes(SALT_BYTES * SALTS_AT_ONCE).toString('hex');
      at = 0;
    }
    at += 2 * SALT_BYTES;
    return pool.slice(at - 2 * SALT_BYTES, at);
  };
}

function countUp(counts: Map<string, number>, name: string): number {
  const next = (counts.get(name) ?? 0) + 1;
  counts.set(name, next);
  return next;
}
