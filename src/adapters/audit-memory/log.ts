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

/** Answers that leave in one go; more would keep the callers' side idle while we work, and ours while they do. */
const GROUP_MAX = 16;

interface Group {
  readonly released: Promise<void>;
  readonly release: () => void;
  waiting: number;
}

const SALT_BYTES = 16;
const SALTS_AT_ONCE = 256;

export function createMemoryLog({ clock, random, keptMaxBytes }: MemoryLogDeps): MemoryLog {
  const bootId = random.uuidv7();
  const keySeqs = new Map<string, number>();
  const kept = createKeptEntries(keptMaxBytes);
  const nextSalt = createSalts(random);
  let lastEntryMs = 0;
  let group: Group | undefined;

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

  /** Waiters are let go together: when enough of them wait, else at the end of the event loop's turn. */
  const release = (): Promise<void> => {
    if (group === undefined) {
      const opened = openGroup();
      group = opened;
      setImmediate(() => {
        if (group === opened) group = undefined;
        opened.release();
      });
    }
    const { released, release: letGo } = group;
    if (++group.waiting === GROUP_MAX) {
      group = undefined;
      letGo();
    }
    return released;
  };

  return {
    async append(events) {
      const firstIndex = kept.size();
      for (const event of events) kept.push(encodeEntry(event, stamp(event)));
      await release();
      return { firstIndex };
    },
    lastEntryMs: () => lastEntryMs,
    isReady: () => true,
    entry: kept.at,
    size: kept.size,
  };
}

function openGroup(): Group {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { released: promise, release: resolve, waiting: 0 };
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
