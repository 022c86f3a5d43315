import { KmsError } from '../core/errors.ts';

/** At most `max` of a kind of work at once; one more is refused at once, never queued. */
export interface InFlight {
  run<T>(work: () => Promise<T>): Promise<T>;
  depth(): number;
}

export function createInFlight(max: number, hint: string): InFlight {
  let depth = 0;
  return {
    async run(work) {
      if (depth >= max) throw new KmsError('Backpressure', { hint });
      depth++;
      try {
        return await work();
      } finally {
        depth--;
      }
    },
    depth: () => depth,
  };
}
