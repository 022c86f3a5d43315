import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { eventually } from '../harness/poll.ts';
import { faultsOfItem, faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);

let narrow: TestService;
let fresh: TestService;
beforeAll(async () => {
  [narrow, fresh] = await Promise.all([startService({ flags: ['--security-max-inflight-sign', '2', '--security-max-inflight-verify', '2', '--max-conns-per-peer', '64'] }), startService()]);
});
afterAll(async () => { await Promise.all([narrow.stop(), fresh.stop()]); });

const codeOf = ({ status, body }: Answer): string => `${status} ${body['error']?.code ?? 'ok'}`;
const treeSize = async (service: TestService): Promise<number> =>
  Number(/^kms_audit_tree_size (\d+)$/m.exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1]);

describe('more at once than is allowed in flight', () => {
  let kid: string;
  let sigs: unknown;
  beforeAll(async () => {
    ({ kid } = await createKey(narrow) as { kid: string });
    ({ sigs } = (await call(narrow, 'POST', '/sign', { kid, payload_b3: DIGEST })).body);
  });

  test.each(['sign', 'verify'])('is answered by %s with 429, Backpressure and Retry-After, and some are done', async (op) => {
    const body = JSON.stringify({ kid, payload_b3: DIGEST, ...(op === 'verify' && { sigs }) });
    const answers = await Promise.all(Array.from({ length: 60 }, async () => {
      const response = await fetch(`${narrow.apiUrl}/v1/kms/${op}`, { method: 'POST', headers: { authorization: `Bearer ${tokenOf()}`, 'content-type': 'application/json' }, body });
      return { status: response.status, text: await response.text(), header: (name: string) => response.headers.get(name) };
    }));
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(60);
    expect(refused.flatMap((answer) => faultsOfRefusal(answer, ['Backpressure']))).toEqual([]);
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
    // Every slot was given back.
    for (let i = 0; i < 5; i++) expect(codeOf(await call(narrow, 'POST', `/${op}`, JSON.parse(body)))).toBe('200 ok');
  });

  test('a batch takes a slot for each of its items', async () => {
    const { status, body } = await call(narrow, 'POST', '/sign/batch', { items: Array.from({ length: 10 }, () => ({ kid, payload_b3: DIGEST })) });
    expect(status).toBe(200);
    const done = body['items'].filter((item: any) => item.error === undefined);
    expect(done.length).toBeGreaterThanOrEqual(2);
    expect(done.length).toBeLessThan(10);
    expect(body['items'].filter((item: any) => item.error !== undefined).flatMap((item: unknown) => faultsOfItem(item, ['Backpressure']))).toEqual([]);
  });

  test('gives its slots back when what they were taken for fails', async () => {
    const { wrapped_b64: text } = (await call(narrow, 'POST', '/wrap', { kid: (await createKey(narrow, { alg: 'aes-256-gcm' }))['kid'], size: 16 })).body;
    for (let i = 0; i < 10; i++) expect(codeOf(await call(narrow, 'POST', '/unwrap', { wrapped_b64: text, aad_b64: 'QQ==' }))).toBe('400 UnwrapFailed');
    expect(codeOf(await call(narrow, 'POST', '/unwrap', { wrapped_b64: text }))).toBe('200 ok');
  });
});

test('connections beyond those one peer may have are closed; its others, and other peers, are served', async () => {
  const port = Number(new URL(narrow.apiUrl).port);
  let closed = 0;
  const sockets = Array.from({ length: 80 }, () => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' });
    socket.on('close', () => { closed++; });
    socket.on('error', () => undefined);
    return socket;
  });
  await eventually('sixteen are closed', 3000, () => closed === 16);
  expect((await call(narrow, 'GET', '/token')).status).toBe(200);

  const open = sockets.find(({ destroyed }) => !destroyed);
  expect(open && (await isAnswered(open))).toBe(true);
  expect(closed).toBe(16);

  for (const socket of sockets) socket.destroy();
  await eventually('that peer may connect again', 3000, () => isAnswered(connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' })));
});

/** Whether a request over this connection is answered with 200, and not closed. */
function isAnswered(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(false));
    socket.once('data', (chunk: Buffer) => {
      resolve(chunk.toString('latin1').startsWith('HTTP/1.1 200'));
    });
    socket.write('GET /v1/kms/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

describe('the place in the log that an answer names', () => {
  test('grows by exactly the entries that were written', async () => {
    // A fresh log begins with an entry of its own: its keys. Nothing that is only read is one.
    const start = await treeSize(fresh);
    expect(start).toBe(1);
    await call(fresh, 'GET', '/keys');
    await call(fresh, 'GET', '/token');
    expect(await treeSize(fresh)).toBe(start);

    // The first operation: what is meant to be done, then what became of it.
    const { kid } = await createKey(fresh);
    expect(await treeSize(fresh)).toBe(start + 2);
    const signed = await call(fresh, 'POST', '/sign', { kid, payload_b3: DIGEST });
    expect(signed.body['audit'].index).toBe(start + 2);
    expect(await treeSize(fresh)).toBe(start + 3);

    const { kid: wrapping } = await createKey(fresh, { alg: 'aes-256-gcm' });
    const wrapped = await call(fresh, 'POST', '/wrap', { kid: wrapping, size: 16 });
    expect(wrapped.body['audit'].index).toBe(start + 5);
    const opened = await call(fresh, 'POST', '/unwrap', { wrapped_b64: wrapped.body['wrapped_b64'] });
    expect(opened.body['audit'].index).toBe(start + 6);
    const again = await call(fresh, 'POST', '/rewrap', { wrapped_b64: wrapped.body['wrapped_b64'] });
    expect(again.body['audit'].index).toBe(start + 7);

    await call(fresh, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: signed.body['sigs'] });
    await call(fresh, 'POST', '/verify', { kid, payload_b3: '1'.repeat(64), sigs: signed.body['sigs'] });
    expect(await treeSize(fresh)).toBe(start + 10);
    await call(fresh, 'POST', `/keys/${encodeURIComponent(kid)}/rotate`, {});
    expect(await treeSize(fresh)).toBe(start + 12);
  });

  test('is its own for each of many at once, without a hole', async () => {
    const { kid } = await createKey(fresh, { alg: 'ed25519' });
    const before = await treeSize(fresh);
    const [singles, batch] = await Promise.all([
      Promise.all(Array.from({ length: 50 }, () => call(fresh, 'POST', '/sign', { kid, payload_b3: DIGEST }))),
      call(fresh, 'POST', '/sign/batch', { items: Array.from({ length: 50 }, () => ({ kid, payload_b3: DIGEST })) }),
    ]);
    const indices = [...singles.map(({ body }) => body['audit'].index as number), ...batch.body['items'].map((item: any) => item.audit.index as number)];
    expect(indices.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => before + i));
    expect(await treeSize(fresh)).toBe(before + 100);
  });

  test('names the op_id that was given, else one of its own', async () => {
    const { kid } = await createKey(fresh, { alg: 'ed25519' });
    const ids = await Promise.all([{}, {}, { op_id: 'mine' }].map(async (more) => (await call(fresh, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more })).body['audit'].op_id));
    expect(ids[2]).toBe('mine');
    expect(new Set(ids).size).toBe(3);
  });
});
