import type { DeviceSealed, KeyDevice } from '../root-key/key-device.ts';
import type { CloudKms } from './cloud-kms.ts';
import { reasonOf } from '../../core/reason.ts';
import { DeviceRefused } from '../root-key/key-device.ts';
import { CloudFault } from './cloud-kms.ts';

export interface CloudKeyDeviceDeps {
  readonly kms: CloudKms;
  /** A start waits so long for a service that does not answer, or has too much to do. */
  readonly waitMs: number;
  readonly pause: (ms: number) => Promise<unknown>;
  readonly nowMs: () => number;
  /** Said while it waits. */
  readonly say: (text: string) => void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/** A root key under a key of a key service elsewhere: auto-unseal. Nothing else opens it, however long that does not answer. */
export function createCloudKeyDevice({ kms, waitMs, pause, nowMs, say }: CloudKeyDeviceDeps): KeyDevice {
  const untilAnswered = async <T>(ask: () => Promise<T>): Promise<T> => {
    const endMs = nowMs() + waitMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs)) {
      try {
        return await ask();
      } catch (fault) {
        if (!(fault instanceof CloudFault)) throw fault;
        // Nothing locks itself there: who starts it again may find that somebody has given the permission.
        if (fault.kind === 'refused') throw fault;
        const nextMs = Math.max(pauseMs, 1000 * (fault.retryAfterS ?? 0));
        if (nowMs() + nextMs > endMs) throw new Error(`the root key lies under ${kms.name}, and that did not answer within ${Math.round(waitMs / 1000)} s: ${reasonOf(fault)}`, { cause: fault });
        say(`waiting for the key service that opens the root key: ${reasonOf(fault)}; again in ${nextMs / 1000} s\n`);
        await pause(nextMs);
      }
    }
  };

  return {
    seal: async (key, place): Promise<DeviceSealed> => ({ key: kms.name, ciphertext_b64: (await untilAnswered(() => kms.encrypt(key, place))).toString('base64') }),
    async unseal({ key, ciphertext_b64: ciphertext }, place) {
      if (typeof ciphertext !== 'string' || typeof key !== 'string') throw new DeviceRefused('root-key.json does not hold what a key service sealed');
      const opened = await untilAnswered(() => kms.decrypt(Buffer.from(ciphertext, 'base64'), place));
      if (opened === undefined) throw new DeviceRefused(`${kms.name} does not open the root key, which was sealed by ${key}: it is another key, or root-key.json was changed`);
      return opened;
    },
    close: async () => kms.close(),
  };
}
