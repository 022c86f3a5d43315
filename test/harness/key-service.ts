import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';

/** How it behaves: as it should; too many calls; no permission; no answer at all; broken off. */
type KeyServiceMode = 'ok' | 'busy' | 'denied' | 'silent' | 'down';

/** A key service on loopback, which can be told to be in trouble. */
export interface KeyService {
  readonly url: string;
  /** Of its keys; it may be asked for tokens besides. */
  readonly calls: () => number;
  readonly asked: () => number;
  be(mode: KeyServiceMode): void;
  end(): Promise<void>;
}

type Answered = { readonly status: number; readonly body: object } | undefined;

const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** AES-256-GCM with associated data, as both of them do it. */
function createKeys() {
  const keys = new Map<string, Buffer>();
  const keyOf = (name: string): Buffer | undefined => keys.get(name);
  return {
    make: (name: string) => { keys.set(name, randomBytes(32)); },
    encrypt(name: string, plaintext: Buffer, aad: Buffer): Buffer | undefined {
      const key = keyOf(name);
      if (key === undefined) return undefined;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.setAAD(aad);
      return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },
    decrypt(name: string, sealed: Buffer, aad: Buffer): Buffer | undefined {
      const key = keyOf(name);
      if (key === undefined) return undefined;
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES));
        decipher.setAAD(aad);
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch {
        return undefined;
      }
    },
    has: (name: string) => keys.has(name),
  };
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function serveKeys(answer: (incoming: IncomingMessage, body: Buffer, response: ServerResponse) => Promise<Answered>, busy: (response: ServerResponse) => void): Promise<KeyService> {
  let mode: KeyServiceMode = 'ok';
  let [calls, asked] = [0, 0];
  const server: Server = createServer((incoming, response) => {
    void (async () => {
      const body = await bodyOf(incoming);
      asked++;
      if (incoming.url !== '/token') calls++;
      if (mode === 'silent') return;
      if (mode === 'down') return void incoming.socket.destroy();
      if (mode === 'busy') return busy(response);
      if (mode === 'denied') return void response.writeHead(403, { 'content-type': 'application/json' }).end('{"errors":["permission denied"]}');
      const answered = await answer(incoming, body, response);
      if (answered !== undefined) response.writeHead(answered.status, { 'content-type': 'application/json' }).end(JSON.stringify(answered.body));
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    calls: () => calls,
    asked: () => asked,
    be: (next) => { mode = next; },
    async end() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function tooMany(response: ServerResponse): void {
  response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '7' }).end('{}');
}

export const VAULT_TOKEN = 'hvs.otter-lantern';

/** The encrypt and decrypt of a transit engine (https://openbao.org/api-docs/secret/transit/), for keys that are named here. */
export async function startVault(...names: readonly string[]): Promise<KeyService> {
  const keys = createKeys();
  for (const name of names) keys.make(name);
  return serveKeys(async ({ url = '', headers }, body) => {
    const [, verb, name = ''] = /^\/v1\/transit\/(encrypt|decrypt)\/([a-z]+)$/.exec(url) ?? [];
    if (headers['x-vault-token'] !== VAULT_TOKEN) return { status: 403, body: { errors: ['permission denied'] } };
    const { plaintext = '', ciphertext = '', associated_data: aad = '' } = JSON.parse(body.toString()) as Record<string, string>;
    if (verb === undefined || !keys.has(name)) return { status: verb === 'decrypt' ? 400 : 404, body: { errors: ['encryption key not found'] } };
    if (verb === 'encrypt') return { status: 200, body: { data: { ciphertext: `vault:v1:${keys.encrypt(name, Buffer.from(plaintext, 'base64'), Buffer.from(aad, 'base64'))?.toString('base64')}`, key_version: 1 } } };
    const opened = ciphertext.startsWith('vault:v1:') ? keys.decrypt(name, Buffer.from(ciphertext.slice(9), 'base64'), Buffer.from(aad, 'base64')) : undefined;
    return opened === undefined ? { status: 400, body: { errors: ['cipher: message authentication failed'] } } : { status: 200, body: { data: { plaintext: opened.toString('base64') } } };
  }, tooMany);
}

/**
 * The encrypt and decrypt of Google Cloud KMS (https://cloud.google.com/kms/docs/reference/rest), and the token endpoint of workload identity
 * federation, whose credentials are written into the directory. Who has no access token of that endpoint is refused.
 */
export async function startGoogle(directory: string, ...names: readonly string[]): Promise<KeyService & { readonly credentials: string }> {
  const keys = createKeys();
  for (const name of names) keys.make(name);
  const subjectToken = randomBytes(32).toString('hex');
  const accessToken = `ya29.${randomBytes(16).toString('hex')}`;
  const service = await serveKeys(async ({ url = '', headers }, body) => {
    if (url === '/token') {
      const isGood = new URLSearchParams(body.toString()).get('subject_token') === subjectToken;
      return isGood ? { status: 200, body: { access_token: accessToken, issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', expires_in: 3600, token_type: 'Bearer' } } : { status: 401, body: { error: 'invalid_grant' } };
    }
    if (headers.authorization !== `Bearer ${accessToken}`) return { status: 401, body: { error: { status: 'UNAUTHENTICATED' } } };
    const [, name = '', verb] = /^\/v1\/(projects\/[^:]+):(encrypt|decrypt)$/.exec(url) ?? [];
    if (!keys.has(name)) return { status: 404, body: { error: { status: 'NOT_FOUND' } } };
    const { plaintext = '', ciphertext = '', additionalAuthenticatedData: aad = '' } = JSON.parse(body.toString()) as Record<string, string>;
    if (verb === 'encrypt') return { status: 200, body: { name: `${name}/cryptoKeyVersions/1`, ciphertext: keys.encrypt(name, Buffer.from(plaintext, 'base64'), Buffer.from(aad, 'base64'))?.toString('base64') } };
    const opened = keys.decrypt(name, Buffer.from(ciphertext, 'base64'), Buffer.from(aad, 'base64'));
    return opened === undefined ? { status: 400, body: { error: { status: 'INVALID_ARGUMENT' } } } : { status: 200, body: { plaintext: opened.toString('base64') } };
  }, tooMany);
  const [credentials, subjectPath] = [join(directory, 'google.json'), join(directory, 'subject-token')];
  writeFileSync(subjectPath, subjectToken, { mode: 0o600 });
  writeFileSync(credentials, JSON.stringify({
    type: 'external_account', audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/own', subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${service.url}/token`, credential_source: { file: subjectPath },
  }), { mode: 0o600 });
  return { ...service, credentials };
}

/** Before a real one, which does the cryptography: its troubles are ours to make. AWS says what it says in JSON 1.1. */
export async function startBefore(target: string): Promise<KeyService> {
  return serveKeys(async (incoming, body, response) => {
    const { hostname, port } = new URL(target);
    if (!/^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[a-z0-9-]+\/kms\/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$/.test(incoming.headers.authorization ?? '')) return { status: 403, body: { __type: 'IncompleteSignatureException' } };
    const onward = request({ hostname, port, method: incoming.method, path: incoming.url, headers: { ...incoming.headers, host: `${hostname}:${port}` } }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end(body);
    return undefined;
  }, (response) => {
    response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' }).end('{"__type":"ThrottlingException","message":"Rate exceeded"}');
  });
}
