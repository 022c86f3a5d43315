import type { AuditEvent } from '../../core/log/entry.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Random } from '../../ports/random.ts';
import type { Ledger } from './ledger.ts';
import type { Frame } from './storage.ts';
import assert from 'node:assert/strict';
import { ENTRY_BYTES_MAX } from '../../../client/src/log/hash.ts';
import { encodeEntry } from '../../core/log/entry.ts';
import { formatRfc3339 } from '../../core/time.ts';
import { createSalts } from './salts.ts';

/** The entries of one write; its bytes are used again for the next group. */
export interface EncodedGroup extends Frame {
  /** Where the entries begin, behind the head room. */
  readonly start: number;
  /** Where each one ends. */
  readonly ends: readonly number[];
  readonly events: readonly AuditEvent[];
}

/** Stamps and encodes: an index and a count are given here and not before, so that a failed group leaves no hole. */
export interface GroupEncoder {
  begin(firstIndex: number): void;
  /** All of them, or none when it throws. */
  add(events: readonly AuditEvent[]): void;
  bytes(): number;
  group(): EncodedGroup;
  /** The group did not get into the log: counts and time are what they were. */
  undo(): void;
}

export interface GroupEncoderDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly headRoomBytes: number;
}

const LENGTH_BYTES = 2;
const START_BYTES = 1 << 18;
/** UTF-8 takes at most three bytes for a unit of UTF-16. */
const BYTES_PER_UNIT = 3;

export function createGroupEncoder({ clock, random, ledger, headRoomBytes }: GroupEncoderDeps): GroupEncoder {
  const bootId = random.uuidv7();
  const nextSalt = createSalts(random);
  let bytes = Buffer.allocUnsafeSlow(START_BYTES);
  let used = headRoomBytes;
  let firstIndex = 0;
  let msBefore = 0;
  let ends: number[] = [];
  let events: AuditEvent[] = [];

  const encode = (event: AuditEvent): string => {
    // An entry never stands before the one in front of it, whatever the wall clock does.
    ledger.setLastMs(Math.max(ledger.lastMs(), clock.wallMs()));
    const stamp = { salt: nextSalt(), boot_id: bootId, ts: formatRfc3339(ledger.lastMs()), mono_ns: clock.monotonicNs().toString() };
    const keySeq = event.kid === undefined ? undefined : ledger.countUp(event.kid);
    // From here on `cut` takes the count back.
    events.push(event);
    return encodeEntry(event, { ...stamp, key_seq: keySeq });
  };

  const push = (event: AuditEvent): void => {
    const entry = encode(event);
    const needed = used + LENGTH_BYTES + entry.length * BYTES_PER_UNIT;
    if (needed > bytes.length) bytes = Buffer.concat([bytes.subarray(0, used)], 2 * needed);
    const length = bytes.write(entry, used + LENGTH_BYTES, 'utf8');
    // No field of an event is near this long: whoever made one has a bug.
    assert(length <= ENTRY_BYTES_MAX, 'an audit entry is too long');
    bytes.writeUInt16BE(length, used);
    used += LENGTH_BYTES + length;
    ends.push(used);
  };

  /** Back to the first `kept` entries. */
  const cut = (kept: number): void => {
    for (const event of events.slice(kept)) if (event.kid !== undefined) ledger.countDown(event.kid);
    events.length = kept;
    ends.length = Math.min(ends.length, kept);
    used = ends.at(-1) ?? headRoomBytes;
  };

  return {
    begin(index) {
      firstIndex = index;
      msBefore = ledger.lastMs();
      used = headRoomBytes;
      ends = [];
      events = [];
    },
    add(added) {
      const kept = events.length;
      try {
        for (const event of added) push(event);
      } catch (fault) {
        cut(kept);
        throw fault;
      }
    },
    bytes: () => used,
    group: () => ({ firstIndex, count: events.length, start: headRoomBytes, bytes: bytes.subarray(0, used), ends, events }),
    undo() {
      cut(0);
      ledger.setLastMs(msBefore);
    },
  };
}
