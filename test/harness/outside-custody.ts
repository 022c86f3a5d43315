import type { ChildProcess } from 'node:child_process';
import type { Custody } from '../../src/ports/custody.ts';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KmsError } from '../../src/core/errors.ts';
import { BackendGone } from '../../src/ports/custody.ts';

export interface Asked {
  readonly id: number;
  readonly call: string;
  readonly args: readonly unknown[];
}

export type Told = { readonly id: number } & ({ readonly value: unknown } | { readonly fault: string });

/** Keys in another process, which can die, hang and come back, as a device or a vendor's daemon does. */
export interface OutsideCustody {
  readonly custody: Custody;
  /** kill -9. */
  kill(): Promise<void>;
  /** It takes calls and answers none, until it goes on. */
  freeze(): void;
  thaw(): void;
  /** A new process over what the old one kept. */
  comeBack(): Promise<void>;
  /** How many calls have reached it. */
  asked(): number;
  stop(): Promise<void>;
}

const PROCESS = fileURLToPath(new URL('outside-custody-process.ts', import.meta.url));

export async function startOutsideCustody(): Promise<OutsideCustody> {
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-outside-'));
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (fault: Error) => void }>();
  let asked = 0;
  let device = await open();

  async function open(): Promise<ChildProcess> {
    const child = fork(PROCESS, [directory], { serialization: 'advanced', execArgv: [] });
    child.on('message', (told: Told) => {
      const asker = waiting.get(told.id);
      waiting.delete(told.id);
      if ('fault' in told) asker?.reject(new KmsError('StoreUnavailable', { cause: told.fault }));
      else asker?.resolve(told.value);
    });
    child.on('exit', () => {
      for (const { reject } of waiting.values()) reject(new BackendGone('the device has gone'));
      waiting.clear();
    });
    await once(child, 'message');
    return child;
  }

  const ask = (call: keyof Custody) => (...args: readonly unknown[]): Promise<unknown> => new Promise((resolve, reject) => {
    if (!device.connected) {
      reject(new BackendGone('no device'));
      return;
    }
    const id = ++asked;
    waiting.set(id, { resolve, reject });
    device.send({ id, call, args }, (fault) => { if (fault !== null) reject(new BackendGone(fault.message)); });
  });

  return {
    custody: Object.fromEntries((['sign', 'sealAead', 'open', 'generate', 'erase', 'probe'] as const).map((call) => [call, ask(call)])) as unknown as Custody,
    async kill() {
      const gone = once(device, 'exit');
      device.kill('SIGKILL');
      await gone;
    },
    freeze: () => { device.kill('SIGSTOP'); },
    thaw: () => { device.kill('SIGCONT'); },
    async comeBack() {
      device = await open();
    },
    asked: () => asked,
    async stop() {
      if (device.exitCode === null && device.signalCode === null) {
        const gone = once(device, 'exit');
        device.kill('SIGKILL');
        await gone;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
