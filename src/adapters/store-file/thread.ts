import type { Answered, Asked, Finding, FirstWords, History, WorkerOrder, WriterCall, WriterCalls } from './protocol.ts';
import { Worker } from 'node:worker_threads';
import { reasonOf } from '../../core/reason.ts';
import { answerOf, FEW_NEW_OBJECTS } from '../system/thread-answer.ts';

/** The store's thread, as the one that serves sees it. */
export interface StoreThread {
  /** What it reads of the history of the store, meanwhile. */
  readonly history: Promise<History>;
  ask<C extends WriterCall>(call: C, ...args: Parameters<WriterCalls[C]>): Promise<ReturnType<WriterCalls[C]>>;
  /** Runs when the thread has ended by itself: nothing is written from then on. */
  onEnd(run: (why: string) => void): void;
  close(): Promise<void>;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(fault: Error): void;
}

/** Starts the thread, and resolves when it has opened the database. Throws with what is wrong with it. */
export async function startThread(order: WorkerOrder): Promise<StoreThread> {
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: order, resourceLimits: FEW_NEW_OBJECTS });
  const waiting = new Map<number, Waiting>();
  const opened = Promise.withResolvers<true>();
  const history = Promise.withResolvers<History>();
  // Who waits for the first of the two only would leave the other's refusal unheard.
  history.promise.catch(() => undefined);
  let nextId = 0;
  let ended: string | undefined;
  let runAtEnd: ((why: string) => void) | undefined;

  const end = (why: string): void => {
    if (ended !== undefined) return;
    ended = why;
    opened.reject(new Error(why));
    history.reject(new Error(why));
    for (const { reject } of waiting.values()) reject(new Error(why));
    waiting.clear();
    runAtEnd?.(why);
  };
  worker.on('message', (message: FirstWords | Answered) => {
    if ('opened' in message) opened.resolve(true);
    else if ('history' in message) history.resolve(message.history);
    else if ('unopened' in message) opened.reject(new Error(message.unopened));
    else {
      const one = waiting.get(message.id);
      waiting.delete(message.id);
      if ('fault' in message) one?.reject(new Error(message.fault));
      else one?.resolve(message.result);
    }
  });
  worker.once('error', (fault) => end(`the store's thread failed: ${reasonOf(fault)}`));
  worker.once('exit', () => end('the store\'s thread has ended'));

  const ask: StoreThread['ask'] = (call, ...args) => new Promise((resolve, reject) => {
    if (ended !== undefined) return reject(new Error(ended));
    const id = nextId++;
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, call, args } satisfies Asked, []);
  });

  await opened.promise;
  return {
    history: history.promise,
    ask,
    onEnd(run) { runAtEnd = run; },
    async close() {
      runAtEnd = undefined;
      if (ended === undefined) await ask('close');
    },
  };
}

/** The check behind, on a thread of its own; gives what it found. Rejects when it was aborted, and with what it could not do. */
export async function checkPartsInThread(path: string, signal: AbortSignal): Promise<readonly Finding[]> {
  signal.throwIfAborted();
  const worker = new Worker(new URL('parts-worker.ts', import.meta.url), { workerData: { path }, resourceLimits: FEW_NEW_OBJECTS });
  return answerOf(worker, (findings) => findings as readonly Finding[], signal);
}
