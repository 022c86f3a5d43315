import sodium from 'sodium-native';

/**
 * Slots in pages that sodium_malloc locked and guarded: never swapped out, not in a core dump, a guard
 * page behind them. One page holds many slots, as the kernel's lock limit counts pages.
 */
export interface LockedMemory {
  /** A zeroed slot of `SLOT_BYTES`, or a shorter view of one. */
  take(lengthBytes: number): Buffer;
  /** Zeroes the slot and keeps it for the next taker. */
  give(slot: Buffer): void;
}

/** The largest secret kept: an expanded Ed25519 key, or the two seeds of a composite. */
const SLOT_BYTES = 64;
const SLAB_SLOTS = 1024;

export function createLockedMemory(): LockedMemory {
  const free: Buffer[] = [];
  const whole = new WeakMap<Buffer, Buffer>();

  const grow = (): void => {
    const slab = sodium.sodium_malloc(SLAB_SLOTS * SLOT_BYTES);
    for (let at = 0; at < slab.length; at += SLOT_BYTES) free.push(slab.subarray(at, at + SLOT_BYTES));
  };

  return {
    take(lengthBytes) {
      if (lengthBytes > SLOT_BYTES) throw new Error('larger than a slot of locked memory');
      if (free.length === 0) grow();
      const slot = free.pop();
      if (slot === undefined) throw new Error('no locked memory');
      sodium.sodium_memzero(slot);
      const view = slot.subarray(0, lengthBytes);
      whole.set(view, slot);
      return view;
    },
    give(view) {
      const slot = whole.get(view);
      if (slot === undefined) return;
      sodium.sodium_memzero(slot);
      whole.delete(view);
      free.push(slot);
    },
  };
}
