/** A token's own rate of signatures: its module in this process, as many sessions as are asked for, nothing around them. */
import { openToken } from '../src/adapters/custody-pkcs11/token.ts';
import { serveJobs } from './worker.ts';

export interface RawTokenJob {
  readonly modulePath: string;
  readonly slotLabel: string;
  readonly pin: string;
  readonly sessions: number;
  readonly ms: number;
}

const LABEL = 'ron-kms bench';
const MESSAGE = Buffer.alloc(32, 7);
const WARM_UP_SHARE = 0.25;

serveJobs(async ({ modulePath, slotLabel, pin, sessions, ms }: RawTokenJob): Promise<{ readonly perSecond: number }> => {
  const token = await openToken({ modulePath, slotLabel, pin, sessions });
  await token.makeEd25519(LABEL);
  const startsAt = performance.now() + WARM_UP_SHARE * ms;
  const endsAt = startsAt + ms;
  let signed = 0;
  await Promise.all(Array.from({ length: sessions }, async () => {
    while (performance.now() < endsAt) {
      await token.sign(LABEL, MESSAGE);
      if (performance.now() >= startsAt) signed++;
    }
  }));
  await token.destroy(LABEL);
  return { perSecond: 1000 * signed / ms };
});
