import type { Token } from '../../client/src/wire.ts';
import type { Command } from './command.ts';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { inWords, printable } from './printable.ts';
import { whileWaiting } from './progress.ts';
import { attenuateCommand } from './token-attenuate.ts';
import { inspectCommand } from './token-inspect.ts';
import { mintCommand, newKeysetCommand } from './token-mint.ts';

const whoamiCommand: Command = {
  name: 'token whoami',
  summary: 'Ask the service what the token may do',
  example: 'token whoami --token-file ci.token',
  options: connectionOptions,
  about: connectionAbout,
  async run(parsed, io) {
    const client = await connect(parsed, io);
    const token = await whileWaiting(io, 'waiting for the service', client.readToken());
    print(parsed, io, token, () => describe(token));
    return EXIT.ok;
  },
};

export const tokenCommands: readonly Command[] = [mintCommand, attenuateCommand, inspectCommand, whoamiCommand, newKeysetCommand];

function describe({ client_id: clientId, scopes, caveats, expires }: Token): string {
  return [
    `client ${clientId}`,
    `  expires    ${expires}, in ${inWords(Date.parse(expires) - Date.now())}`,
    `  scopes     ${scopes.join(' ')}`,
    ...caveats.map((caveat, i) => `  ${i === 0 ? 'caveats' : '       '}    ${printable(caveat)}`),
  ].join('\n');
}
