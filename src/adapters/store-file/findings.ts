import type { StoreFault } from '../../ports/key-store.ts';
import { KmsError } from '../../core/errors.ts';
import { reasonOf } from '../../core/reason.ts';
import { ChangedRow } from './reader.ts';
import { baseOf } from './record-name.ts';

/** What was found not to be as the service left it, at the start and since. The first finding is told, and stays. */
export interface Findings {
  add(fault: StoreFault): void;
  fault(): StoreFault | undefined;
  /** A key of which a version is in a finding. */
  isBad(base: string): boolean;
  /** Throws `StoreUnavailable` where `isBad`. */
  requireGood(base: string): void;
  /** Runs a read; what it finds changed is a finding, and `StoreUnavailable`. */
  reading<T>(read: () => T): T;
}

const NOT_AS_LEFT = 'the record of this key is not as the service left it; /readyz says more';

const NOT_READ = 'what was asked for is not as the service left it; /readyz says more';

export function createFindings(first: StoreFault | undefined): Findings {
  let fault = first;
  const bad = new Set(Array.from(first?.kids ?? [], baseOf));

  const add = (found: StoreFault): void => {
    fault ??= found;
    for (const kid of found.kids) bad.add(baseOf(kid));
  };

  return {
    add,
    fault: () => fault,
    isBad: (base) => bad.has(base),
    requireGood(base) {
      if (bad.has(base)) throw unavailable(NOT_AS_LEFT);
    },
    reading(read) {
      try {
        return read();
      } catch (found) {
        const what = reasonOf(found);
        const kid = found instanceof ChangedRow ? found.kid : undefined;
        add({ what: found instanceof ChangedRow ? what : `the database is damaged: ${what}`, kids: new Set(kid === undefined ? [] : [kid]) });
        throw unavailable(kid === undefined ? NOT_READ : NOT_AS_LEFT);
      }
    },
  };
}

export function unavailable(hint: string): KmsError {
  return new KmsError('StoreUnavailable', { hint });
}

