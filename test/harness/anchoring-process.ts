import type { Anchor } from '../../src/ports/anchor.ts';
import type { AnchoredLog } from '../../src/service/anchoring.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { createFileAnchor } from '../../src/adapters/anchor-file/anchor.ts';
import { createWitnessAnchor } from '../../src/adapters/anchor-witness/anchor.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createAnchoring } from '../../src/service/anchoring.ts';
import { eventOf } from '../contract/audit-log.ts';
import { openSmallLog } from './small-log.ts';

/**
 * Anchors mutation after mutation until it kills itself: node anchoring-process.ts <log> <origin> <anchor> <point> <nth>.
 * The anchor is a path, or the vkey and the URL of a witness. Prints the index of each outcome that was answered.
 */
export type KillPoint = 'before entry' | 'after entry' | 'after checkpoint' | 'after advance';

const [directory = '', origin = '', place = '', point = '', nth = ''] = process.argv.slice(2);
const log = openSmallLog(directory, origin);
let passed = 0;

function mayDie(here: KillPoint): void {
  if (here === point && ++passed === Number(nth)) process.kill(process.pid, 'SIGKILL');
}

function openAnchor(): Anchor {
  const [vkey, url] = place.split(' ');
  const key = parseVkey(vkey ?? '');
  return key === undefined || url === undefined
    ? createFileAnchor({ path: place, origin, mac: log.mac })
    : createWitnessAnchor({ url, key, logKeys: () => [log.key], clock: systemClock });
}

const anchor = openAnchor();
const dyingAnchor: Anchor = {
  ...anchor,
  async advance(value, proof) {
    mayDie('after checkpoint');
    const advanced = await anchor.advance(value, proof);
    mayDie('after advance');
    return advanced;
  },
};
const dyingLog: AnchoredLog = {
  ...log,
  async append(events, options) {
    mayDie('before entry');
    const appended = await log.append(events, options);
    mayDie('after entry');
    return appended;
  },
};

const silent = { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: () => undefined };
const anchoring = createAnchoring({ integrity: { fail: () => undefined }, anchor: dyingAnchor, log: dyingLog, clock: systemClock, random: createSystemRandom(), telemetry: silent, intervalMs: 3_600_000 });
await anchoring.start();
for (;;) {
  const { firstIndex } = await log.append([eventOf('outcome')], { mustFlush: true });
  await anchoring.afterMutation();
  // Written at once: a line that stands here is an answer that has left.
  process.stdout.write(`${firstIndex}\n`);
}
