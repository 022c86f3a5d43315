import type { ErrorDetail } from '../core/errors.ts';
import { KmsError } from '../core/errors.ts';

/** At most so many of a kind of work at once; what is beyond it is refused at once, never queued. */
export interface InFlight {
  /** `cost` is how many ordinary pieces of work this one is; one that is larger than all that may be runs alone. */
  run<T>(work: () => Promise<T>, cost?: number): Promise<T>;
  depth(): number;
}

/** `max` is asked each time: a reload may change it. */
export function createInFlight(max: () => number, full: Pick<ErrorDetail, 'hint' | 'queue'>): InFlight {
  let depth = 0;
  return {
    async run(work, cost = 1) {
      if (depth > 0 && depth + cost > max()) throw new KmsError('Backpressure', full);
      depth += cost;
      try {
        return await work();
      } finally {
        depth -= cost;
      }
    },
    depth: () => depth,
  };
}
