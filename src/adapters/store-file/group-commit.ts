import type { WireGroup, WireMutation } from './protocol.ts';
import { KmsError } from '../../core/errors.ts';
import { reasonOf } from '../../core/reason.ts';

/** Mutations as they wait: all that come while a group is on its way to the disk are the next group. */
export interface GroupCommit {
  /** Resolves when it is durable; throws `StoreUnavailable` when it is not there. */
  commit(mutation: WireMutation): Promise<void>;
  /** False from a failed group on, until the journal it may have left pieces in was emptied. */
  isReady(): boolean;
  /** Tries to be ready again; to be called about once a second. */
  recover(): Promise<void>;
  /** Resolves when nothing is on its way. */
  idle(): Promise<void>;
}

export interface GroupCommitDeps {
  readonly write: (group: WireGroup) => Promise<void>;
  readonly truncate: () => Promise<boolean>;
  readonly expiredBefore: () => number;
  /** Nothing of what was waiting is there: generations and ids go back to the last that is. */
  readonly onFailed: (why: string) => void;
}

interface Waiting {
  readonly mutation: WireMutation;
  resolve(): void;
  reject(fault: KmsError): void;
}

const GROUP_MAX = 256;

export function createGroupCommit({ write, truncate, expiredBefore, onFailed }: GroupCommitDeps): GroupCommit {
  const waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  let isWhole = true;

  const fail = (group: readonly Waiting[], fault: unknown): void => {
    isWhole = false;
    // Those behind it stand on generations that never were.
    const all = [...group, ...waiting.splice(0)];
    onFailed(reasonOf(fault));
    for (const { reject } of all) reject(new KmsError('StoreUnavailable', { hint: 'the key store takes no changes; /readyz says more' }));
  };

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const group = waiting.splice(0, GROUP_MAX);
      try {
        // Model: [commit].
        await write({ mutations: group.map(({ mutation }) => mutation), expiredBefore: expiredBefore() });
        for (const { resolve } of group) resolve();
      } catch (fault) {
        fail(group, fault);
      }
    }
    running = undefined;
  };

  return {
    commit: (mutation) => new Promise((resolve, reject) => {
      waiting.push({ mutation, resolve, reject });
      running ??= Promise.resolve().then(run);
    }),
    isReady: () => isWhole,
    async recover() {
      if (isWhole) return;
      // What a failed flush left in the journal must not come back after a crash.
      isWhole = await truncate().catch(() => false);
    },
    async idle() {
      await running;
    },
  };
}
