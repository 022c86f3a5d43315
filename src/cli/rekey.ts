import type { Command, Io } from './command.ts';
import type { KmsClient } from '../../client/src/client.ts';
import { randomUUIDv7 } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { flag, isOn } from './flags.ts';
import { inEntries, startProgress } from './progress.ts';

const ASKED_EVERY_MS = 200;

/** `ron-kms rekey`: a new root key, while the service goes on. */
export const rekeyCommand: Command = {
  name: 'rekey',
  summary: 'Make a new root key, and move every key and the log\'s keys under it while the service goes on',
  example: 'rekey',
  options: { 'no-wait': { type: 'boolean' }, 'op-id': { type: 'string' }, ...connectionOptions },
  about: {
    'no-wait': 'come back once the move has begun; GET /admin/rekey says how far it is',
    'op-id': 'a name for the entry in the log; made up when left out', ...connectionAbout,
  },
  async run(parsed, io) {
    const client = await connect(parsed, io);
    const begun = await client.rekey({ op_id: flag(parsed, 'op-id') ?? randomUUIDv7() });
    const end = isOn(parsed, 'no-wait') ? begun : { ...begun, ...await untilMoved(client, io) };
    print(parsed, io, end, () => (end.state === 'moving'
      ? `the new root key is there, and ${end.left} rows are still to be moved under it; the service does it by itself`
      : 'all lies under the new root key, and the one before is gone. Copies of the directories from before still need it: it is in the root-key.json among them. What ron-kms backup wrote carries its own.'));
    return EXIT.ok;
  },
};

async function untilMoved(client: KmsClient, io: Io) {
  const first = await client.rekeyState();
  const progress = startProgress(io, 'moving', first.total, inEntries);
  let [state, done] = [first, 0];
  while (state.state === 'moving') {
    await pause(ASKED_EVERY_MS);
    state = await client.rekeyState();
    progress.advance(state.total - state.left - done);
    done = state.total - state.left;
  }
  progress.end();
  return state;
}
