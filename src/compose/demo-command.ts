import type { KmsClient } from '../../client/src/client.ts';
import type { Key, SignAnswer } from '../../client/src/wire.ts';
import type { Command, Io } from '../cli/command.ts';
import type { SpawnService } from './child-service.ts';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attenuateToken } from '../../client/src/attenuate.ts';
import { createClient } from '../../client/src/client.ts';
import { KmsClientError } from '../../client/src/errors.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { mintDemoToken } from './demo-token.ts';
import { startChildService } from './child-service.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { checkOffline } from './offline-receipt.ts';
import { checkIndependently } from './second-opinion.ts';

export interface DemoDeps {
  readonly spawnService: SpawnService;
  /** The real file that is signed. */
  readonly filePath: string;
}

/** What the steps hand on to each other. */
interface Story {
  readonly file: Buffer;
  readonly url: string;
  readonly token: string;
  readonly client: KmsClient;
  /** Of its log, as the service said when it started. */
  readonly vkeys: readonly string[];
}

/** `ron-kms demo`: the whole story on a real file, over HTTP, in a service of its own that is gone afterwards. */
export function makeDemoCommand({ spawnService, filePath }: DemoDeps): Command {
  return {
    name: 'demo',
    summary: 'Start a service and tell the whole story on a real file',
    example: 'demo',
    options: { json: { type: 'boolean' } },
    about: { json: 'print the steps as JSON' },
    async run({ flags }, io) {
      const directory = await mkdtemp(join(tmpdir(), 'ron-kms-demo-'));
      const tell = makeTeller(flags['json'] === true, io);
      try {
        const { secret, token } = mintDemoToken(createSystemRandom(), systemClock);
        const keysetPath = join(directory, 'keyset.json');
        await writeFile(keysetPath, JSON.stringify({ keys: [{ id: 'micronode', secret_b64: secret.toString('base64') }] }), { mode: 0o600 });
        secret.fill(0);
        const service = await tell('start the service', 'a process of its own, keys in RAM, on free ports of loopback', () => startChildService(spawnService, ['--auth-keyset-path', keysetPath]), ({ apiUrl }) => apiUrl);
        try {
          await tellStory(tell, { file: await readFile(filePath), url: service.apiUrl, token, client: createClient({ url: service.apiUrl, token }), vkeys: service.log.vkeys });
        } finally {
          await service.stop();
        }
        tell.end('The service is stopped and nothing is left behind.');
        return EXIT.ok;
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

async function tellStory(tell: Teller, { file, url, token, client, vkeys }: Story): Promise<void> {
  const payload = { payload_b64: file.toString('base64') };
  const key = await tell('create a key', 'one key, two algorithms: a forger has to break both', () => client.createKey({ tenant: 'demo', purpose: 'release' }), ({ kid }) => kid);

  const narrow = await tell('narrow the token offline', 'six caveats more, no call to the service, and no way back', async () =>
    attenuateToken(token, ['scope = kms:sign,kms:verify', 'purpose = release', `kid = ${key.kid}`, 'peer = 127.0.0.0/8', 'rps = 50', `expires = ${new Date(Date.now() + 600_000).toISOString()}`]), (text) => `${text.slice(0, 24)}…`);
  const narrowed = createClient({ url, token: narrow });
  await tell('try to rotate with it', 'refused: it may only sign and verify with this version', () => refused(narrowed.rotateKey(key.kid)), (code) => code);

  const signed = await tell('sign this project\'s README', 'Ed25519 and ML-DSA-65 over its BLAKE3, one entry in the log', () => narrowed.sign({ kid: key.kid, ...payload }), (answer) => `${answer.sigs.map((sig) => sig.parameter_set ?? sig.alg).join(' + ')}, log entry ${answer.audit.index}`);
  await tell('verify it', 'mode and: every algorithm of the key has to agree', () => verified(narrowed, key.kid, payload, signed, true), (text) => text);
  await tell('verify it without us', 'the noble libraries, pure JavaScript, given only the file and the public keys', async () => checkIndependently(file, key, signed), (text) => text);
  const tampered = { payload_b64: Buffer.concat([file, Buffer.from('!')]).toString('base64') };
  await tell('change one byte and verify', 'no', () => verified(narrowed, key.kid, tampered, signed, false), (text) => text);

  const wrapping = await tell('create a wrapping key', 'X-Wing: X25519 and ML-KEM-768 together', () => client.createKey({ tenant: 'demo', purpose: 'wrap' }), ({ kid }) => kid);
  const wrapped = await tell('wrap a fresh data key', 'HPKE; the envelope names the version that opens it', () => client.wrap({ kid: wrapping.kid, size: 32 }), ({ wrapped_b64: text }) => `${Buffer.from(text, 'base64').length} bytes`);
  await tell('unwrap it', 'the same 32 bytes', async () => {
    const { plaintext_key_b64: opened } = await client.unwrap({ wrapped_b64: wrapped.wrapped_b64 });
    if (opened !== wrapped.plaintext_key_b64) throw new Error('another key came back');
    return 'equal';
  }, (text) => text);

  const rotated = await tell('rotate the signing key', 'a new version; the old ones keep verifying', () => client.rotateKey(key.kid), ({ previous, kid }) => `${versionOf(previous)} → ${versionOf(kid)}`);
  const again = await tell('sign with the new version', 'the kid without a version is the current one', () => client.sign({ kid: baseOf(key.kid), ...payload }), ({ kid }) => versionOf(kid));
  if (again.kid !== rotated.kid) throw new Error('the new version did not sign');
  await tell('verify the old signature', 'by the kid without a version: all of them are tried, newest first', () => verified(client, baseOf(key.kid), payload, signed, true), (text) => text);

  const receipt = await tell('fetch the receipt of the last signature', 'a C2SP tlog-proof, under the next signed head of the log', () => client.receipt(again.audit.index), (text) => `${text.length} bytes`);
  await tell('check it offline', 'given only the receipt, the file and the keys of the log that the service named at its start', async () => checkOffline(receipt, { vkeys, file, signed: again }), (text) => text);
}

async function verified(client: KmsClient, kid: string, payload: { payload_b64: string }, { sigs }: SignAnswer, expected: boolean): Promise<string> {
  const { ok, details } = await client.verify({ kid, ...payload, sigs, policy: { mode: 'and' } });
  if (ok !== expected) throw new Error(`verify said ${ok}`);
  return details.checked.map((one) => `${versionOf(one.kid)} ${one.alg} ${one.ok ? 'valid' : 'not valid'}`).join(', ');
}

async function refused(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (fault) {
    if (fault instanceof KmsClientError && fault.code === 'NoCapability') return `${fault.status} ${fault.code}`;
    throw fault;
  }
  throw new Error('it was not refused');
}

interface Teller {
  <T>(title: string, meaning: string, work: () => Promise<T>, result: (value: T) => string): Promise<T>;
  end(text: string): void;
}

/** Says each step with its time, what came out and what it means. */
function makeTeller(asJson: boolean, io: Io): Teller {
  const tell = async <T>(title: string, meaning: string, work: () => Promise<T>, result: (value: T) => string): Promise<T> => {
    const startedMs = performance.now();
    const value = await work();
    const ms = performance.now() - startedMs;
    if (asJson) io.out(`${JSON.stringify({ step: title, meaning, ms: Math.round(ms * 100) / 100, result: result(value) })}\n`);
    else io.out(`${ms.toFixed(1).padStart(7)} ms  ${title}\n            ${result(value).replaceAll('\n', '\n            ')}\n            ${meaning}\n\n`);
    return value;
  };
  return Object.assign(tell, { end: (text: string) => io.out(asJson ? '' : `${text}\n`) });
}

function baseOf(kid: Key['kid']): string {
  return kid.slice(0, kid.indexOf('#'));
}

function versionOf(kid: string): string {
  return kid.slice(kid.indexOf('#') + 1);
}
