import type { FileCustody } from '../adapters/custody-file/custody.ts';
import type { Keychain } from '../adapters/root-key/keychain.ts';
import type { ResealableStore, RootKeyMove } from '../ports/resealing.ts';

interface RootKeyMoveDeps {
  readonly rootKeys: Keychain;
  /** Where keys are kept under the root key; left out, only those of the log are. */
  readonly keys: { readonly store: ResealableStore; readonly custody: Pick<FileCustody, 'reseal'> } | undefined;
  readonly logKeys: { move(): Promise<void> };
}

/** Rows at once: a mutation that comes meanwhile waits for as many. */
const BATCH = 256;

/** What lies under the root key, moved to the next one part by part. */
export function makeRootKeyMove({ rootKeys, keys, logKeys }: RootKeyMoveDeps): RootKeyMove {
  /** The store knows the newest epoch from its start, unless the move began since. */
  let storeEpoch = rootKeys.current();

  const begin = async (): Promise<void> => {
    await rootKeys.begin();
    if (storeEpoch === rootKeys.current()) return;
    await keys?.store.beginEpoch();
    storeEpoch = rootKeys.current();
  };

  return {
    isMoving: rootKeys.isMoving,
    begin,
    async step() {
      // A start, or a fault in `begin`, may have left it there.
      await begin();
      await logKeys.move();
      return keys === undefined ? { left: 0, total: 0 } : keys.store.reseal(BATCH, keys.custody.reseal);
    },
    async end() {
      await keys?.store.endEpochs();
      await rootKeys.end();
    },
  };
}
