import type { KmsClient } from '../../client/src/client.ts';
import type { Io, Parsed } from './command.ts';
import { isIP } from 'node:net';
import { parseDuration } from '../core/time.ts';
import { remark } from './answer.ts';
import { UsageError } from './command.ts';
import { readSmall } from './files.ts';
import { flag } from './flags.ts';
import { tokenFrom } from './token-source.ts';

/** The flags of every command that asks the service. */
export const connectionOptions = {
  url: { type: 'string' }, token: { type: 'string' }, 'token-file': { type: 'string' }, 'ca-file': { type: 'string' }, timeout: { type: 'string' }, json: { type: 'boolean' },
} as const;

export const connectionAbout = {
  url: 'where the service listens; RON_KMS_URL, else http://127.0.0.1:9446',
  token: 'the capability token; other users see it there: RON_KMS_TOKEN or --token-file is safer',
  'token-file': 'a file with the token',
  'ca-file': 'CAs to trust besides those of the system, PEM; RON_KMS_CA_FILE',
  timeout: 'for the whole call, 10s when left out',
  json: 'print the answer of the API as it is',
} as const;

const URL_DEFAULT = 'http://127.0.0.1:9446';

/** A client for the service and the token that flags and environment name. */
export async function connect(parsed: Parsed, io: Io): Promise<KmsClient> {
  const url = urlOf(parsed, io);
  const timeout = flag(parsed, 'timeout');
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout);
  if (timeout !== undefined && (timeoutMs === undefined || timeoutMs === 0)) throw new UsageError('--timeout is a duration such as 500ms, 5s or 1m');
  const token = await tokenFrom(parsed, io, undefined);
  await trust(flag(parsed, 'ca-file') ?? io.env['RON_KMS_CA_FILE'], io);
  const { createClient } = await import('../../client/src/client.ts');
  return createClient({ url, token, ...(timeoutMs !== undefined && { timeoutMs }) });
}

/** For this process: a command asks one service. */
async function trust(path: string | undefined, io: Io): Promise<void> {
  if (path === undefined) return;
  const pem = (await readSmall(path, io)).toString('utf8');
  const { getCACertificates, setDefaultCACertificates } = await import('node:tls');
  try {
    setDefaultCACertificates([...getCACertificates('default'), pem]);
  } catch {
    throw new UsageError(`${path} holds no certificate in PEM`);
  }
}

function urlOf(parsed: Parsed, io: Io): string {
  const text = flag(parsed, 'url') ?? io.env['RON_KMS_URL'] ?? URL_DEFAULT;
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || (url.protocol !== 'http:' && url.protocol !== 'https:')) throw new UsageError('the url of a service is http(s)://host:port');
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) remark(parsed, io, `the token travels to ${url.host} in the clear; use https`);
  return text;
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
