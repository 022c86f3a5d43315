import type { Place, Wire } from '../harness/wire.ts';
import type { TestService } from '../harness/service.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { networkOf } from '../../src/http/edge.ts';
import { makeIssuer } from '../harness/certificates.ts';
import { eventually } from '../harness/poll.ts';
import { CANARY } from '../harness/refusal.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';
import { openWire, statusesIn } from '../harness/wire.ts';

/** Short, so that who is slow is soon too slow. */
const QUICK = ['--read-timeout', '1s', '--write-timeout', '1s', '--max-conns-per-peer', '32'];
/** A slow machine may be late. */
const SOON = 15_000;

let root: string;
let clear: TestService;
let sealed: TestService;
const places: Record<string, Place> = {};
const token = tokenOf();
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-edge-'));
  const { certPath, keyPath } = await (await makeIssuer(root, 'mesh')).issue('edge');
  [clear, sealed] = await Promise.all([
    startService({ flags: [...QUICK, '--uds-path', join(root, 'uds', 'kms.sock')] }),
    startService({ flags: [...QUICK, '--tls-cert-path', certPath, '--tls-key-path', keyPath] }),
  ]);
  await Promise.all([clear.apiUrl, sealed.apiUrl].map(makeKeys));
  Object.assign(places, { tcp: { url: clear.apiUrl }, tls: { url: sealed.apiUrl }, uds: { socketPath: join(root, 'uds', 'kms.sock') } });
});
afterAll(async () => {
  await Promise.all([clear.stop(), sealed.stop()]);
  rmSync(root, { recursive: true, force: true });
});

/** A list of them is some nine megabytes. */
async function makeKeys(url: string): Promise<void> {
  const wires = await Promise.all(Array.from({ length: 4 }, () => openWire({ url })));
  const body = '{"tenant":"core","purpose":"audit"}';
  for (let made = 60; made <= 300; made += 60) {
    for (const wire of wires) for (let i = 0; i < 60; i++) wire.send(post('/keys', body));
    await eventually('the keys are made', SOON, () => wires.every((wire) => statusesIn(wire.text()).length === made));
  }
  expect(new Set(wires.flatMap((wire) => statusesIn(wire.text())))).toEqual(new Set([201]));
  for (const wire of wires) wire.end();
}

const open = async (way: string): Promise<Wire> => {
  const wire = await openWire(places[way] ?? {});
  onTestFinished(() => wire.end());
  return wire;
};
const head = (line: string, headers: Readonly<Record<string, string>> = {}): string =>
  `${line}\r\n${Object.entries({ host: 'kms', authorization: `Bearer ${token}`, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
const get = (path: string, headers: Readonly<Record<string, string>> = {}): string => head(`GET /v1/kms${path} HTTP/1.1`, headers);
const post = (path: string, body: string, headers: Readonly<Record<string, string>> = {}): string =>
  head(`POST /v1/kms${path} HTTP/1.1`, { 'content-type': 'application/json', 'content-length': String(body.length), ...headers }) + body;
const answersIn = async (wire: Wire, count: number): Promise<readonly number[]> => {
  await eventually(`${count} answers`, SOON, () => statusesIn(wire.text()).length >= count);
  return statusesIn(wire.text());
};
const errorsIn = (text: string): readonly string[] => [...text.matchAll(/"code":"(\w+)"/g)].map(([, code]) => code ?? '');
const slowReaders = (service: TestService): number => service.log().split('"slow_reader_cut"').length - 1;
const rejections = async (queue: string): Promise<number> => Number(new RegExp(`busy_rejections_total\\{queue="${queue}"\\} (\\d+)`).exec(await (await fetch(`${clear.metricsUrl}/metrics`)).text())?.[1]);

describe.each(['tcp', 'tls', 'uds'])('over %s', (way) => {
  test('requests that are sent at once are answered in their order, over one connection', async () => {
    const wire = await open(way);
    const ids = Array.from({ length: 40 }, (_, i) => `01890000-0000-7000-8000-0000000000${String(i).padStart(2, '0')}`);
    // Those that take long stand before those that do not.
    wire.send(ids.map((id, i) => (i % 3 === 0 ? post('/keys', '{"tenant":"core","purpose":"audit"}', { 'x-corr-id': id }) : get(i % 3 === 1 ? '/token' : '/nothing', { 'x-corr-id': id }))).join(''));
    expect(await answersIn(wire, 40)).toEqual(ids.map((_, i) => [201, 200, 404][i % 3]));
    expect([...wire.text().matchAll(/x-corr-id: (\S+)/g)].map(([, id]) => id)).toEqual(ids);
  });

  test.each<[string, string]>([
    ['a bare line feed', `GET /v1/kms/token HTTP/1.1\nHost: kms\n\n`],
    ['a folded header', get('/token', { 'x-a': '1\r\n 2' })],
    ['a length and chunks', post('/sign', '0\r\n\r\n', { 'transfer-encoding': 'chunked' })],
    ['two lengths', post('/sign', '{}', { 'x-a': 'b\r\ncontent-length: 40' })],
    ['chunks by another name', post('/sign', '0\r\n\r\n', { 'content-length': '5', 'transfer-encoding': 'xchunked' })],
    ['a length with a sign', post('/sign', '{}', { 'content-length': '+2' })],
    ['nonsense', `${CANARY}\r\n\r\n`],
  ])('%s ends the connection with 400 in the envelope, and what stands behind it is nobody\'s request', async (_name, bad) => {
    const wire = await open(way);
    wire.send(get('/token') + bad + get('/keys'));
    await wire.closed(SOON);
    expect(statusesIn(wire.text())).toEqual([200, 400]);
    expect(errorsIn(wire.text())).toEqual(['BadRequest']);
    expect(wire.text()).not.toContain(CANARY);
  });

  test('headers over 16 KiB are 431, an Expect that is unknown is 400, each in the envelope', async () => {
    const large = await open(way);
    large.send(get('/token', { 'x-large': 'x'.repeat(17_000) }));
    await large.closed(SOON);
    expect([statusesIn(large.text()), errorsIn(large.text())]).toEqual([[431], ['TooLarge']]);
    const expecting = await open(way);
    expecting.send(post('/sign', '{}', { expect: CANARY }));
    await expecting.closed(SOON);
    expect([statusesIn(expecting.text()), errorsIn(expecting.text())]).toEqual([[400], ['BadRequest']]);
  });

  test.each<[string, string, string]>([
    ['its headers', 'GET /v1/kms/token HTTP/1.1\r\n', 'x-a: b\r\n'],
    ['its body', post('/sign', '', { 'content-length': '100000' }), ' '],
    ['its chunks', head('POST /v1/kms/sign HTTP/1.1', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }), '1\r\n \r\n'],
  ])('who sends %s a little at a time is told 408 and cut off', { timeout: 20_000 }, async (_name, first, more) => {
    const wire = await open(way);
    wire.send(first);
    const drip = setInterval(() => wire.send(more), 200);
    onTestFinished(() => clearInterval(drip));
    await wire.closed(SOON);
    expect([statusesIn(wire.text()), errorsIn(wire.text())]).toEqual([[408], ['Timeout']]);
  });

  test('who asks for much and reads none of it is cut off', { timeout: 30_000 }, async () => {
    const service = way === 'tls' ? sealed : clear;
    const before = slowReaders(service);
    const wire = await open(way);
    wire.pause();
    // More than the buffers of the kernel take.
    wire.send(get('/keys?tenant=core&limit=1000'));
    await eventually('it is cut off', SOON, () => slowReaders(service) > before);
    expect((await fetch(`${service.metricsUrl}/readyz`)).status).toBe(200);
  });

  test('no upgrade is made: the request is answered as if it had not asked', async () => {
    const wire = await open(way);
    wire.send(get('/token', { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }));
    expect(await answersIn(wire, 1)).toEqual([200]);
    const other = await open(way);
    other.send(get('/token', { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' }));
    expect(await answersIn(other, 1)).toEqual([200]);
  });

  test('HTTP/1.0 and Connection: close end with their answer, a whole URL is the same path, HEAD has no body', async () => {
    for (const request of [head('GET /v1/kms/token HTTP/1.0'), get('/token', { connection: 'close' })]) {
      const wire = await open(way);
      wire.send(request);
      await wire.closed(SOON);
      expect(statusesIn(wire.text())).toEqual([200]);
    }
    const wire = await open(way);
    wire.send(head('GET http://kms/v1/kms/token HTTP/1.1') + head('HEAD /v1/kms/openapi.json HTTP/1.1') + get('/token'));
    expect(await answersIn(wire, 3)).toEqual([200, 404, 200]);
  });

  test('one peer has so many connections and no more; they are free again when it goes', async () => {
    const wires = await Promise.all(Array.from({ length: 50 }, () => open(way)));
    await eventually('those beyond are closed', SOON, () => wires.filter((wire) => wire.isClosed()).length >= 50 - 32);
    for (const wire of wires) wire.end();
    await eventually('one more is served', SOON, async () => {
      const wire = await open(way);
      wire.send(get('/token', { connection: 'close' }));
      await wire.closed(SOON);
      return statusesIn(wire.text())[0] === 200;
    });
  });
});

test('a TLS handshake that is not gone on with is ended', { timeout: 20_000 }, async () => {
  const { hostname, port } = new URL(sealed.apiUrl);
  const wire = await openWire({ url: `http://${hostname}:${port}` });
  wire.send(Buffer.from('160301', 'hex'));
  await wire.closed(SOON);
  expect(wire.text()).toBe('');
});

test('connections that are turned away are counted', async () => {
  expect(await rejections('connections')).toBeGreaterThan(0);
});

test('a peer is an IPv4 address, or the /64 of an IPv6 one', () => {
  expect(['10.0.0.1', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::6', '2001:db8::1', '::1', 'fe80::1%eth0'].map(networkOf))
    .toEqual(['10.0.0.1', '2001:db8:1:2::/64', '2001:db8:1:2::/64', '2001:db8:0:0::/64', '0:0:0:0::/64', 'fe80:0:0:0::/64']);
});

test('after all of it both serve', async () => {
  const { kid } = await createKey(clear);
  expect((await call(clear, 'POST', '/sign', { kid, payload_b3: '0'.repeat(64) })).status).toBe(200);
  expect((await fetch(`${sealed.metricsUrl}/readyz`)).status).toBe(200);
});
