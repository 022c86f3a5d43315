import type { Random } from '../../ports/random.ts';
import { randomBytes, randomUUID, randomUUIDv7, timingSafeEqual } from 'node:crypto';

const SAMPLE_BYTES = 32;

/** The kernel's generator through OpenSSL, with a repetition test over samples (SP 800-90B §4.4.1, on whole samples). */
export function createSystemRandom(): Random {
  let last = randomBytes(SAMPLE_BYTES);
  let isStuck = false;
  return {
    bytes: (length) => randomBytes(length),
    uuidv7: () => randomUUIDv7(),
    uuidv4: () => randomUUID(),
    chance: () => randomBytes(4).readUInt32BE() / 2 ** 32,
    isHealthy() {
      try {
        const sample = randomBytes(SAMPLE_BYTES);
        isStuck ||= timingSafeEqual(sample, last);
        last = sample;
        return !isStuck;
      } catch {
        return false;
      }
    },
  };
}
