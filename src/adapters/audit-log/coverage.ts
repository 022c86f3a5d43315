import type { SignedHead } from './body.ts';
import { KmsError } from '../../core/errors.ts';

/** Those who wait for a checkpoint over an entry. */
export interface Coverage {
  wait(index: number): Promise<SignedHead>;
  published(head: SignedHead): void;
  stop(): void;
}

interface Awaiting {
  readonly index: number;
  readonly resolve: (head: SignedHead) => void;
  readonly reject: (fault: KmsError) => void;
  readonly patience: NodeJS.Timeout;
}

/** An interval between checkpoints, the deadline of one, and some time to write. */
const WITHIN_MS = 3000;

export function createCoverage(): Coverage {
  const waiting = new Set<Awaiting>();

  const settle = (one: Awaiting, how: () => void): void => {
    clearTimeout(one.patience);
    waiting.delete(one);
    how();
  };

  return {
    wait: (index) =>
      new Promise((resolve, reject) => {
        const patience = setTimeout(() => settle(one, () => reject(new KmsError('AuditUnavailable', { hint: 'no checkpoint covers this entry yet' }))), WITHIN_MS);
        const one: Awaiting = { index, resolve, reject, patience };
        waiting.add(one);
      }),
    published(head) {
      for (const one of waiting) if (one.index < head.size) settle(one, () => one.resolve(head));
    },
    stop() {
      for (const one of waiting) settle(one, () => one.reject(new KmsError('AuditUnavailable')));
    },
  };
}
