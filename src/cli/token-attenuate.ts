import type { Command } from './command.ts';
import { attenuate } from '../core/macaroon/chain.ts';
import { CAVEATS_MAX, decodeToken, encodeToken, MACAROON_BYTES_MAX } from '../core/macaroon/codec.ts';
import { print } from './answer.ts';
import { caveatAbout, caveatOptions, caveatsFrom, isKnownCaveat } from './caveat-flags.ts';
import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { flagList } from './flags.ts';
import { tokenFrom } from './token-source.ts';

/** Narrows a token without its root key: anybody who holds one can, and nobody can undo it. */
export const attenuateCommand: Command = {
  name: 'token attenuate',
  args: '[<token>|-]',
  summary: 'Narrow a token, offline',
  example: 'token attenuate --token-file ci.token --purpose audit --rps 50 --expires 10m',
  options: { caveat: { type: 'string', multiple: true }, ...caveatOptions, token: { type: 'string' }, 'token-file': { type: 'string' }, json: { type: 'boolean' } },
  about: {
    caveat: '\'name = value\', as the token will carry it', ...caveatAbout, token: 'the token; other users see it there: RON_KMS_TOKEN or --token-file is safer',
    'token-file': 'a file with the token', json: 'print the token with all of its caveats as JSON',
  },
  async run(parsed, io) {
    const written = flagList(parsed, 'caveat');
    if (!written.every(isKnownCaveat)) throw new UsageError('--caveat is not one that a ron-kms knows: it is written \'purpose = audit\', with single spaces, and an unknown one denies everything');
    const added = [...written, ...caveatsFrom(parsed)];
    if (added.length === 0) throw new UsageError('there is nothing to narrow by: give --caveat, or one of the flags such as --purpose, --rps, --expires');
    const macaroon = decodeToken(await tokenFrom(parsed, io, parsed.args[0]));
    if (macaroon === undefined) throw new UsageError('the token cannot be decoded');

    const narrowed = added.reduce(attenuate, macaroon);
    const token = encodeToken(narrowed);
    if (narrowed.caveats.length > CAVEATS_MAX || decodeToken(token) === undefined) throw new UsageError(`a token has at most ${CAVEATS_MAX} caveats and ${MACAROON_BYTES_MAX / 1024} KiB: this one would be too large`);
    print(parsed, io, { token, caveats: narrowed.caveats.map(({ id }) => id.toString('utf8')) }, () => token);
    return EXIT.ok;
  },
};
