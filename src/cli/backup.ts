import type { Command } from './command.ts';
import type { KmsClient } from '../../client/src/client.ts';
import { randomUUIDv7 } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { flag, isOn } from './flags.ts';
import { whileWaiting } from './progress.ts';

const ASKED_EVERY_MS = 200;

/** `ron-kms backup`: one file with everything, while the service goes on. */
export const backupCommand: Command = {
  name: 'backup',
  summary: 'Have the service write a backup of all keys into its backup.dir, and read it again',
  example: 'backup',
  options: { 'no-wait': { type: 'boolean' }, 'op-id': { type: 'string' }, ...connectionOptions },
  about: {
    'no-wait': 'come back once it has begun; GET /admin/backup says how it is',
    'op-id': 'a name for the entry in the log; made up when left out', ...connectionAbout,
  },
  async run(parsed, io) {
    const client = await connect(parsed, io);
    const begun = await client.backup({ op_id: flag(parsed, 'op-id') ?? randomUUIDv7() });
    const end = isOn(parsed, 'no-wait') ? begun : { ...begun, ...await whileWaiting(io, 'the service copies its keys, and reads the copy', untilMade(client)) };
    if (end.state === 'failed') throw new Error(`no backup was made: ${end.why}`);
    print(parsed, io, end, () => (end.state === 'running'
      ? 'the backup has begun; the service goes on with it by itself'
      : [
        `${end.file} is written and was read again: ${end.records} key versions, generation ${end.generation}, ${end.bytes} bytes`,
        `  sha256  ${end.sha256}`,
        'Take it off this machine, and what it lies under to another place. It holds what is destroyed later: keep it no longer than those keys may live on.',
      ].join('\n')));
    return EXIT.ok;
  },
};

async function untilMade(client: KmsClient) {
  for (;;) {
    const state = await client.backupState();
    if (state.state !== 'running') return state;
    await pause(ASKED_EVERY_MS);
  }
}
