import type { Secret } from '../../core/secret.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import { deriveKey } from './sealing.ts';

export const EPOCH_BYTES = 8;

/** Of the root key that `init` makes; each later one gets a random epoch. */
export const FIRST_EPOCH = '00'.repeat(EPOCH_BYTES);

/** The root keys of an instance: one, but while it is moved to the next one two. What lies sealed names the epoch of its own. */
export interface RootKeys {
  /** Oldest first; the last one is that of all that is sealed now. */
  epochs(): readonly string[];
  current(): string;
  /** A key of its own for a use, in locked memory of the caller's; undefined for an epoch that is not there. */
  derive(epoch: string, info: string): Secret | undefined;
}

export interface HeldRootKey {
  readonly epoch: string;
  readonly key: Secret;
}

/** Takes the keys over; `held` may grow and shrink. */
export function rootKeysOf(held: readonly HeldRootKey[], instanceId: string, memory: LockedMemory): RootKeys {
  return {
    epochs: () => held.map(({ epoch }) => epoch),
    current() {
      const newest = held.at(-1);
      if (newest === undefined) throw new Error('there is a root key');
      return newest.epoch;
    },
    derive(epoch, info) {
      const found = held.find((one) => one.epoch === epoch);
      return found && deriveKey(found.key, { info, instanceId }, memory);
    },
  };
}

/** Those of another instance or of before, to be moved under the newest of `own`. Epochs are random but the first, so `own` is to have one that is not among the others, unless it is the same key. */
export function movingRootKeys(others: RootKeys, own: RootKeys): RootKeys {
  const ownEpochs = own.epochs();
  return {
    epochs: () => [...others.epochs().filter((epoch) => !ownEpochs.includes(epoch)), ...ownEpochs],
    current: own.current,
    derive: (epoch, info) => own.derive(epoch, info) ?? others.derive(epoch, info),
  };
}
