import type { Command } from './command.ts';
import { randomUUIDv7 } from 'node:crypto';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { flag, isOn } from './flags.ts';
import { whileWaiting } from './progress.ts';

const WAITING = 'waiting for the service';
const options = { 'op-id': { type: 'string' }, ...connectionOptions } as const;
const about = { 'op-id': 'a name for the entry in the log; made up when left out', ...connectionAbout };

export const rotateKeysCommand: Command = {
  name: 'audit rotate-keys',
  summary: 'Change the keys that sign the log, and print the new ones',
  example: 'audit rotate-keys',
  options: { compromised: { type: 'boolean' }, ...options },
  about: { compromised: 'the keys before are not to be trusted any more: they stop to sign at once, and vouch for nothing', ...about },
  async run(parsed, io) {
    const isCompromised = isOn(parsed, 'compromised');
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, WAITING, client.rotateLogKeys({ op_id: flag(parsed, 'op-id') ?? randomUUIDv7(), ...(isCompromised && { compromised: true }) }));
    print(parsed, io, answer, () => [
      `the log has new keys, announced by entry ${answer.audit.index}`,
      ...answer.keys.map((vkey) => `  ${vkey}`),
      isCompromised
        ? 'Pin these by hand wherever the log is checked: what the ones before sign is worth nothing from here on.'
        : `The ones before sign along${answer.until === undefined ? '' : ` until ${answer.until}`}; who pinned them follows by the entry, or pins these.`,
    ].join('\n'));
    return EXIT.ok;
  },
};

export const acceptClockCommand: Command = {
  name: 'audit accept-clock',
  summary: 'Tell the service that the wall clock is right as it stands',
  example: 'audit accept-clock',
  options,
  about,
  async run(parsed, io) {
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, WAITING, client.acceptClock({ op_id: flag(parsed, 'op-id') ?? randomUUIDv7() }));
    print(parsed, io, answer, () => `the wall clock is trusted as it stands, by entry ${answer.audit.index}`);
    return EXIT.ok;
  },
};
