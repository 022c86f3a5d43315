import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { eventOf } from '../contract/audit-log.ts';
import { signerFromFile } from './log-signer.ts';

/**
 * Writers that append to a log until they are killed: node appending-process.ts <directory> <keys> <disk|os>. Prints
 * index and `op_id` of each entry that was answered.
 */
export type Durability = 'disk' | 'os';

const [directory = '', keys = '', durability = ''] = process.argv.slice(2);
const WRITERS = 16;
const KID = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1';
const log = await openLog({
  storage: await openFileStorage(directory), signer: signerFromFile(keys), clock: systemClock, random: createSystemRandom(),
  options: { durability: durability === 'os' ? 'os' : 'disk', checkpointEveryOps: 300, sealBytes: 100_000 },
});
const fault = log.integrityFault();
if (fault !== undefined) throw new Error(fault);

await Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
  for (let i = 0; ; i++) {
    const opId = `${process.pid}-${writer}-${i}`;
    const { firstIndex } = await log.append([{ ...eventOf(opId), kid: KID }], { mustFlush: i % 10 === 0 });
    // Written at once: a line that stands here is an answer that has left.
    process.stdout.write(`${firstIndex} ${opId}\n`);
  }
}));
