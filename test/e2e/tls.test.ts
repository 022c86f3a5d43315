import type { Issuer } from '../harness/certificates.ts';
import type { TestService } from '../harness/service.ts';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ronKms } from '../cli/ron-kms.ts';
import { makeIssuer } from '../harness/certificates.ts';
import { eventually } from '../harness/poll.ts';
import { everything, startService, tokenOf } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-tls-'));
let ca: Issuer;
let clients: Issuer;
const started: TestService[] = [];
beforeAll(async () => {
  [ca, clients] = await Promise.all([makeIssuer(root, 'mesh'), makeIssuer(root, 'clients')]);
});
afterAll(async () => {
  await Promise.all(started.map((service) => service.stop()));
  rmSync(root, { recursive: true, force: true });
});

/** A service with a certificate of its own. */
async function serving(name: string, ...flags: readonly string[]) {
  const issued = await ca.issue(name);
  const service = await startService({ flags: ['--tls-cert-path', issued.certPath, '--tls-key-path', issued.keyPath, ...flags] });
  started.push(service);
  return { service, issued, port: Number(new URL(service.apiUrl).port) };
}

interface Reply {
  readonly status: number;
  readonly body: any;
  readonly serial: string;
}

function ask(port: number, { method = 'GET', path = '/token', body, token = tokenOf(), agent = new Agent(), ...tls }: ConnectionOptions & { readonly method?: string; readonly path?: string; readonly body?: object; readonly token?: string; readonly agent?: Agent } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path: `/v1/kms${path}`, method, agent, ca: ca.caPem, headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, ...tls }, (response) => {
      const { serialNumber: serial } = (response.socket as TLSSocket).getPeerCertificate();
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text), serial }));
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const failures = async (service: TestService): Promise<number> => Number(/^tls_handshake_failures_total (\d+)$/m.exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1]);

/** The protocol of a handshake that comes about. */
async function handshake(port: number, options: ConnectionOptions): Promise<string | null> {
  const socket = connect({ host: '127.0.0.1', port, ca: ca.caPem, servername: 'localhost', ...options });
  await once(socket, 'secureConnect');
  const protocol = socket.getProtocol();
  socket.destroy();
  return protocol;
}

/** As a tool that renews certificates does it: whole, under its name. */
function put(path: string, pem: string): void {
  writeFileSync(`${path}.new`, pem, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

describe('a service with a certificate', () => {
  test('speaks TLS 1.3 and nothing older, and counts what does not come about', async () => {
    const { service, port } = await serving('versions');
    expect(service.apiUrl).toMatch(/^https:/);
    expect((await ask(port)).status).toBe(200);
    expect(await handshake(port, {})).toBe('TLSv1.3');
    const before = await failures(service);
    await expect(handshake(port, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })).rejects.toThrow();
    await eventually('it is counted', 5000, async () => (await failures(service)) > before);
    await expect(fetch(service.apiUrl.replace('https', 'http'))).rejects.toThrow();
  });

  test('exchanges keys post-quantum with who can, and with nobody else where that is required', async () => {
    const { port } = await serving('groups');
    for (const ecdhCurve of ['X25519MLKEM768', 'X25519', 'P-256']) expect(await handshake(port, { ecdhCurve })).toBe('TLSv1.3');
    await expect(handshake(port, { ecdhCurve: 'P-521' })).rejects.toThrow();
    const strict = await serving('pq-only', '--tls-require-pq', 'true');
    expect(await handshake(strict.port, { ecdhCurve: 'X25519:X25519MLKEM768' })).toBe('TLSv1.3');
    for (const ecdhCurve of ['X25519', 'P-256']) await expect(handshake(strict.port, { ecdhCurve })).rejects.toThrow();
  });

  test('shows a new one as soon as its files change, under traffic, and keeps the old one while they do not fit', async () => {
    const { service, issued, port } = await serving('swapped');
    const { body: { degraded: before } } = { body: await (await fetch(`${service.metricsUrl}/healthz`)).json() as { degraded: string[] } };
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { serial } = await ask(port, { agent });
    const over = new AbortController();
    const statuses: number[] = [];
    const traffic = (async () => {
      while (!over.signal.aborted) statuses.push((await ask(port)).status);
    })();

    const next = await ca.issue('swapped-next');
    put(issued.certPath, next.certPem);
    await eventually('it says that the two do not fit', 5000, async () => JSON.stringify(await (await fetch(`${service.metricsUrl}/healthz`)).json()).includes('cannot be used together'));
    expect((await ask(port)).serial).toBe(serial);
    put(issued.keyPath, next.keyPem);
    await eventually('new connections see the new one', 5000, async () => (await ask(port)).serial !== serial);
    // A connection from before goes on.
    expect(await ask(port, { agent })).toMatchObject({ status: 200, serial });
    expect(((await (await fetch(`${service.metricsUrl}/healthz`)).json()) as { degraded: string[] }).degraded).toEqual(before);
    over.abort();
    await traffic;
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(statuses.length).toBeGreaterThan(10);
    agent.destroy();
  });

  test('says of one that was made for long, or ends soon, that it is weak', async () => {
    const long = await ca.issue('long', { days: 365 });
    const soon = await ca.issue('soon', { days: 20, fromMs: Date.now() - 18 * 86_400_000 });
    const said = await Promise.all([long, soon].map(async ({ certPath, keyPath }) => {
      const service = await startService({ flags: ['--tls-cert-path', certPath, '--tls-key-path', keyPath] });
      started.push(service);
      return JSON.stringify(await (await fetch(`${service.metricsUrl}/healthz`)).json());
    }));
    expect(said).toEqual([expect.stringContaining('for more than 90 days'), expect.stringContaining('expires within 2 days')]);
  });
});

function sha256(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
}

describe('client certificates', () => {
  test('bind a token that names one to it, and are the actor in the log', async () => {
    const { port } = await serving('mutual', '--tls-client-ca-path', clients.caPath);
    const [own, other] = await Promise.all([clients.issue('signer', { names: [{ type: 'url', value: 'spiffe://mesh/signer' }] }), clients.issue('other')]);
    const token = tokenOf({ caveats: [...everything('core'), `mtls = sha256:${sha256(own.certPem)}`] });
    const as = ({ certPem: cert, keyPem: key }: typeof own) => ask(port, { method: 'POST', path: '/keys', body: { tenant: 'core', purpose: 'a' }, token, cert, key });
    expect((await as(own)).status).toBe(201);
    expect((await as(other))).toMatchObject({ status: 403, body: { error: { code: 'NoCapability', hint: expect.stringContaining('another client certificate') } } });
    expect((await ask(port, { token }))).toMatchObject({ status: 403, body: { error: { hint: expect.stringContaining('this connection has none') } } });
    const { body: { records } } = await ask(port, { path: '/audit/records?op=create&result=ok', token: tokenOf({ caveats: everything('core') }) });
    expect(records[0].entry.actor.via).toBe('mtls:spiffe://mesh/signer');
  });

  test('of other CAs end the connection, though none is required; where one is, so does none', async () => {
    const lenient = await serving('lenient', '--tls-client-ca-path', clients.caPath);
    const stranger = await ca.issue('stranger');
    await expect(ask(lenient.port, { cert: stranger.certPem, key: stranger.keyPem })).rejects.toThrow();
    expect((await ask(lenient.port)).status).toBe(200);
    const strict = await serving('strict', '--tls-client-ca-path', clients.caPath, '--tls-require-client-cert', 'true');
    await expect(ask(strict.port)).rejects.toThrow();
    const own = await clients.issue('own');
    expect((await ask(strict.port, { cert: own.certPem, key: own.keyPem })).status).toBe(200);
  });
});

test('the command line trusts the CA that it is given', async () => {
  const { service } = await serving('command-line');
  const env = { RON_KMS_TOKEN: tokenOf(), RON_KMS_URL: service.apiUrl };
  expect((await ronKms(['keys', 'list', '--json'], { env })).code).toBe(4);
  expect((await ronKms(['keys', 'list', '--json', '--ca-file', ca.caPath], { env })).code).toBe(0);
  expect((await ronKms(['keys', 'list', '--json'], { env: { ...env, RON_KMS_CA_FILE: ca.caPath } })).code).toBe(0);
});

test('a certificate that cannot be shown is refused at the start, with the file that is wrong', async () => {
  const [one, other, expired] = await Promise.all([ca.issue('one'), ca.issue('another'), ca.issue('expired', { days: 1, fromMs: Date.now() - 5 * 86_400_000 })]);
  const open = join(root, 'open.key');
  writeFileSync(open, one.keyPem, { mode: 0o644 });
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--tls-cert-path', one.certPath], /tls.cert_path and tls.key_path go together/],
    [['--tls-cert-path', one.certPath, '--tls-key-path', other.keyPath], /is not that of the certificate/],
    [['--tls-cert-path', one.keyPath, '--tls-key-path', one.keyPath], /is not a certificate in PEM/],
    [['--tls-cert-path', one.certPath, '--tls-key-path', open], /others may read/],
    [['--tls-cert-path', expired.certPath, '--tls-key-path', expired.keyPath], /has expired/],
    [['--tls-cert-path', join(root, 'nowhere'), '--tls-key-path', one.keyPath], /nowhere/],
    [['--tls-cert-path', one.certPath, '--tls-key-path', one.keyPath, '--tls-require-client-cert', 'true'], /needs tls.client_ca_path/],
    [['--tls-cert-path', one.certPath, '--tls-key-path', one.keyPath, '--bind-addr', '0.0.0.0:0'], /can be reached from everywhere: require client certificates/],
    [['--tls-require-pq', 'true'], /are about TLS/],
  ];
  for (const [flags, says] of cases) {
    const { code, err } = await ronKms(['serve', '--profile', 'micronode', '--metrics-addr', '127.0.0.1:0', ...(flags.includes('--bind-addr') ? [] : ['--bind-addr', '127.0.0.1:0']), ...flags]);
    expect(code).toBeGreaterThan(0);
    expect(err).toMatch(says);
  }
});
