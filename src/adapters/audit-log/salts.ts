import type { Random } from '../../ports/random.ts';

const SALT_BYTES = 16;
const SALTS_AT_ONCE = 256;

/** Salts cut from larger draws: one system call for many entries. */
export function createSalts(random: Random): () => string {
  let pool = '';
  let at = 0;
  return () => {
    if (at === pool.length) {
      pool = random.bytes(SALT_BYTES * SALTS_AT_ONCE).toString('hex');
      at = 0;
    }
    at += 2 * SALT_BYTES;
    return pool.slice(at - 2 * SALT_BYTES, at);
  };
}
