/**
 * Lets at most `width` jobs into libuv's thread pool at once; the rest wait here, in order. Wider would keep
 * file flushes, which share the pool, waiting behind signatures.
 */
export interface PoolGate {
  run<T>(start: (done: (fault: Error | null, result: T) => void) => void): Promise<T>;
}

export function createPoolGate(width: number): PoolGate {
  let running = 0;
  const waiting: (() => void)[] = [];
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  };

  return {
    run: (start) =>
      new Promise((resolve, reject) => {
        const enter = (): void => {
          try {
            start((fault, result) => {
              leave();
              if (fault === null) resolve(result);
              else reject(fault);
            });
          } catch (fault) {
            leave();
            reject(fault instanceof Error ? fault : new Error('the job did not start', { cause: fault }));
          }
        };
        if (running < width) {
          running++;
          enter();
        } else {
          waiting.push(enter);
        }
      }),
  };
}
