import type { Io, Parsed } from './command.ts';
import { remark } from './answer.ts';
import { UsageError } from './command.ts';
import { flag } from './flags.ts';
import { readSmall } from './files.ts';

const ON_THE_LINE = 'a token on the command line is seen by every user of this machine; RON_KMS_TOKEN or --token-file is safer';
const TOKEN = /^[A-Za-z0-9_-]+$/;

/** The token that an argument (`-` is standard input), a flag or the environment gives, in this order. No message repeats it. */
export async function tokenFrom(parsed: Parsed, io: Io, argument: string | undefined): Promise<string> {
  const typed = argument === '-' ? undefined : (argument ?? flag(parsed, 'token'));
  const file = argument === '-' ? '-' : flag(parsed, 'token-file');
  if (typed !== undefined && file !== undefined) throw new UsageError('give the token one way: --token-file, RON_KMS_TOKEN or on the command line');
  if (typed !== undefined) remark(parsed, io, ON_THE_LINE);
  const token = (typed ?? (file === undefined ? io.env['RON_KMS_TOKEN'] : (await readSmall(file, io)).toString('latin1')))?.trim();
  if (token === undefined || token === '') throw new UsageError('there is no token: set RON_KMS_TOKEN, or give --token-file <path>; ron-kms token mint makes one on a developer\'s machine');
  if (!TOKEN.test(token)) throw new UsageError('the token is not one: it is base64url without padding');
  return token;
}
