import type { Handle } from 'pkcs11js';

/** Sessions of one token, a bounded number: one call in flight in each, as two would take each other's state; who comes then waits. */
export interface Sessions {
  use<T>(work: (session: Handle) => Promise<T> | T): Promise<T>;
}

export function createSessions(all: readonly Handle[]): Sessions {
  const free = [...all];
  const waiting: ((session: Handle) => void)[] = [];
  return {
    async use(work) {
      const session = free.pop() ?? await new Promise<Handle>((resolve) => { waiting.push(resolve); });
      try {
        return await work(session);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free.push(session);
        else next(session);
      }
    },
  };
}
