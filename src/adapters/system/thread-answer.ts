import type { Worker } from 'node:worker_threads';

/**
 * Waits for what a thread was started for: `hear` gives it, or undefined at what the thread says before. Rejects with the thread's own
 * fault, when it ends without an answer, and when it was aborted; then it is ended.
 */
export function answerOf<A>(worker: Worker, hear: (message: unknown) => A | undefined, signal: AbortSignal | undefined): Promise<A> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(signal?.reason as Error);
      // Rejected already; what ending it says is nobody's concern.
      worker.terminate().catch(() => undefined);
    };
    worker.on('message', (message: unknown) => {
      const answer = hear(message);
      if (answer !== undefined) resolve(answer);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      signal?.removeEventListener('abort', stop);
      reject(new Error(`a thread ended with ${code}, and without an answer`));
    });
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A thread that looks at one thing after the other needs little room for new objects, where V8 would take 24 MiB. */
export const FEW_NEW_OBJECTS = { maxYoungGenerationSizeMb: 4 };
