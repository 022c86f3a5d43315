import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Wired } from '../harness/wired.ts';
import { checkReceipt, createClient, parseVkey } from '../../client/src/index.ts';
import { entriesFrom } from '../harness/entries.ts';
import { call, createKey, inFuture, tokenOf } from '../harness/service.ts';
import { OTHER_ROOT, startWired } from '../harness/wired.ts';

const DIGEST = 'ab'.repeat(32);
const HOUR = `expires = ${inFuture(3_600_000)}`;
const token = (clientId: string, ...caveats: readonly string[]): string => tokenOf({ clientId, caveats: [...caveats, HOUR] });
const auditor = (...caveats: readonly string[]): string => token('auditor', 'scope = kms:audit', ...caveats);

let wired: Wired;
/** Two keys of tenant `red`, one of them rotated, and one of tenant `blue`; each has signed. */
let red: string;
let redOther: string;
let blue: string;
const redToken = token('red-app', 'scope = kms:rotate,kms:sign', 'tenant = red');
const blueToken = token('blue-app', 'scope = kms:rotate,kms:sign', 'tenant = blue');

beforeAll(async () => {
  wired = await startWired();
  red = (await createKey(wired, { tenant: 'red', purpose: 'a', alg: 'ed25519' }, redToken))['kid'] as string;
  redOther = (await createKey(wired, { tenant: 'red', purpose: 'b', alg: 'ml-dsa' }, redToken))['kid'] as string;
  blue = (await createKey(wired, { tenant: 'blue', purpose: 'a', alg: 'ed25519' }, blueToken))['kid'] as string;
  for (const [kid, by] of [[red, redToken], [redOther, redToken], [blue, blueToken]] as const) await call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST }, by);
  await call(wired, 'POST', `/keys/${encodeURIComponent(red.split('#')[0] ?? '')}/rotate`, {}, redToken);
  await call(wired, 'POST', '/sign', { kid: red.replace('#v1', ''), payload_b3: DIGEST }, redToken);
  await call(wired, 'GET', '/nowhere', undefined, redToken);
});
afterAll(() => wired.stop());

interface Listed { readonly index: number; readonly entry: Readonly<Record<string, any>> }
const listed = async (by: string, query = ''): Promise<readonly Listed[]> => {
  const { status, body } = await call(wired, 'GET', `/audit/records${query}`, undefined, by);
  expect(status).toBe(200);
  return body['records'] as readonly Listed[];
};
const all = async (): Promise<readonly Listed[]> => (await entriesFrom(wired.audit)).map((entry, index) => ({ index, entry }));
const signed = { op: 'sign', op_id: 'x', corr_id: 'c', tenant: 'red', kid: undefined, alg: undefined, purpose: undefined, input_hash: '00', result: 'ok', reason: undefined, actor: { via: 'tcp' }, policy: undefined, generation: undefined } as const;
/** With as many entries in all, those of the log itself too. */
async function fill({ audit }: Wired, size: number): Promise<void> {
  while (audit.size() < size) await audit.append(Array.from({ length: Math.min(1000, size - audit.size()) }, () => signed));
  await audit.checkpointNow();
}

/** A log that keeps little of itself. */
let short: Wired;
beforeAll(async () => {
  short = await startWired({ maxBytes: 1 << 20 });
  await fill(short, 10_000);
});
afterAll(() => short.stop());

const placesOf = (records: readonly Listed[]): readonly number[] => records.map(({ index }) => index);

describe('the records that a token shows', () => {
  test('of every tenant: all of them, as they stand in the log', async () => {
    expect(await listed(auditor('tenant = *'))).toEqual(await all());
  });

  test.each([
    ['tenant = red', ({ tenant }: Listed['entry']): boolean => tenant === 'red'],
    ['tenant = blue', ({ tenant }: Listed['entry']) => tenant === 'blue'],
    ['tenant = nobody', () => false],
    ['purpose = b', ({ purpose }: Listed['entry']) => purpose === 'b'],
    ['alg = ed25519', ({ alg }: Listed['entry']) => alg === 'ed25519'],
  ] as const)('with %s: those inside it, and none that does not say', async (caveat, isInside) => {
    const tenant = caveat.startsWith('tenant') ? [] : ['tenant = *'];
    expect(await listed(auditor(...tenant, caveat))).toEqual((await all()).filter(({ entry }) => isInside(entry)));
  });

  test('all caveats hold at once', async () => {
    expect(placesOf(await listed(auditor('tenant = red', 'purpose = a', 'alg = ed25519')))).toEqual(placesOf((await all()).filter(({ entry }) => entry['tenant'] === 'red' && entry['purpose'] === 'a')));
    expect(await listed(auditor('tenant = red', 'tenant = blue'))).toEqual([]);
    expect(await listed(auditor('tenant = red', 'purpose = a', 'purpose = b'))).toEqual([]);
  });

  test('a kid caveat is one version, or all of a key; two of different keys leave nothing', async () => {
    const base = red.replace('#v1', '');
    const ofKey = (await all()).filter(({ entry }) => entry['kid']?.startsWith(`${base}#`) === true);
    expect(placesOf(await listed(auditor('tenant = *', `kid = ${base}`)))).toEqual(placesOf(ofKey));
    expect(placesOf(await listed(auditor('tenant = *', `kid = ${base}#v2`)))).toEqual(placesOf(ofKey.filter(({ entry }) => entry['kid'] === `${base}#v2`)));
    expect(placesOf(await listed(auditor('tenant = *', `kid = ${base}`, `kid = ${base}#v1`)))).toEqual(placesOf(ofKey.filter(({ entry }) => entry['kid'] === red)));
    for (const kids of [[base, redOther], [red, `${base}#v2`], [blue, base]]) expect(await listed(auditor('tenant = *', ...kids.map((kid) => `kid = ${kid}`)))).toEqual([]);
    expect(await listed(auditor('tenant = blue', `kid = ${base}`))).toEqual([]);
  });

  test('asking for another tenant or key than the token is for gives nothing', async () => {
    for (const query of ['?tenant=blue', `?kid=${encodeURIComponent(blue)}`, `?kid=${encodeURIComponent(blue)}&tenant=red`]) expect(await listed(auditor('tenant = red'), query)).toEqual([]);
  });

  test.each([['without the scope', token('red-app', 'scope = kms:read,kms:sign,kms:admin', 'tenant = *'), 403], ['without a token', 'none', 401]] as const)('%s: refused', async (_what, by, status) => {
    expect((await call(wired, 'GET', '/audit/records', undefined, by)).status).toBe(status);
  });
});

describe('what is asked for', () => {
  const everyone = auditor('tenant = *');

  test.each([
    ['?op=sign', ({ op }: Listed['entry']) => op === 'sign'],
    ['?result=intent', ({ result }: Listed['entry']) => result === 'intent'],
    ['?tenant=blue&op=sign&result=ok', ({ tenant, op, result }: Listed['entry']) => tenant === 'blue' && op === 'sign' && result === 'ok'],
    ['?op=no-such-op', () => false],
  ] as const)('%s', async (query, isAsked) => {
    expect(placesOf(await listed(everyone, query))).toEqual(placesOf((await all()).filter(({ entry }) => isAsked(entry))));
  });

  test('a key, or one of its versions, also with a plus in its name', async () => {
    const { kid } = await createKey(wired, { tenant: 'red', purpose: 'h' }, redToken) as { kid: string };
    const base = kid.split('#')[0] ?? '';
    const places = placesOf((await all()).filter(({ entry }) => entry['kid'] === kid));
    expect(places).not.toEqual([]);
    for (const text of [base, encodeURIComponent(base), encodeURIComponent(kid)]) expect(placesOf(await listed(everyone, `?kid=${text}`))).toEqual(places);
    expect(await listed(everyone, `?kid=${encodeURIComponent(`${base}#v2`)}`)).toEqual([]);
  });

  test('in pages that meet: none twice, none left out', async () => {
    const client = createClient({ url: wired.apiUrl, token: everyone });
    const places: number[] = [];
    for await (const { index } of client.allRecords({ limit: 2 })) places.push(index);
    expect(places).toEqual(placesOf(await all()));
    const { next, tree_size: size } = await client.records({ from: places.length });
    expect([next, size]).toEqual([undefined, places.length]);
  });

  test.each(['?from=-1', '?from=01', '?from=1e3', '?from=9999999999999999', '?limit=0', '?limit=1001', '?kid=nonsense', '?op=A%20B', '?tenant=A', '?result=a.b', '?nonsense=1', '?from=1&from=2'])('%s is refused', async (query) => {
    expect((await call(wired, 'GET', `/audit/records${query}`, undefined, everyone)).status).toBe(400);
  });

  test('far beyond the end: nothing, and nowhere to go on', async () => {
    const { body } = await call(wired, 'GET', '/audit/records?from=999999999999999', undefined, everyone);
    expect(body).toEqual({ records: [], tree_size: wired.audit.size() });
  });
});

describe('one request', () => {
  let long: Wired;
  beforeAll(async () => {
    long = await startWired();
    await fill(long, 20_000);
    await long.audit.append([{ ...signed, tenant: 'blue' }]);
  });
  afterAll(() => long.stop());

  test('looks at so many entries and says where to go on, also when it has found nothing', async () => {
    const { body } = await call(long, 'GET', '/audit/records?op=wrap', undefined, auditor('tenant = *'));
    expect(body).toEqual({ records: [], next: 8192, tree_size: 20_001 });
    const client = createClient({ url: long.apiUrl, token: auditor('tenant = blue') });
    const found: number[] = [];
    for await (const { index } of client.allRecords()) found.push(index);
    expect(found).toEqual([20_000]);
  });

  test('gives at most a thousand', async () => {
    const { body } = await call(long, 'GET', '/audit/records?limit=1000', undefined, auditor('tenant = *'));
    expect([body['records'].length, body['next']]).toEqual([1000, 1000]);
  });

  test('starts at the oldest entry that is kept', async () => {
    const first = short.audit.minimumIndex();
    expect(first).toBeGreaterThan(1000);
    expect(placesOf((await call(short, 'GET', '/audit/records?from=5&limit=10', undefined, auditor('tenant = red'))).body['records'] as readonly Listed[])).toEqual(Array.from({ length: 10 }, (_, i) => first + i));
  });
});

const receiptOf = async (index: number | string, by: string, { apiUrl }: Wired = wired) => {
  const response = await fetch(`${apiUrl}/v1/kms/audit/receipts/${index}`, { headers: { authorization: `Bearer ${by}` } });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
};
const signatureOf = async (kid: string): Promise<number> => (await all()).find(({ entry }) => entry['op'] === 'sign' && entry['kid'] === kid)?.index ?? -1;
const keys = () => wired.audit.keys().map(({ vkey }) => parseVkey(vkey)).filter((key) => key !== undefined);

describe('a receipt', () => {
  test('proves to anyone with the key what was signed', async () => {
    for (const { index } of await all()) {
      const text = await createClient({ url: wired.apiUrl, token: auditor('tenant = *') }).receipt(index);
      const checked = checkReceipt(text, keys());
      expect(checked).toMatchObject({ ok: true, index, fields: (await all())[index]?.entry });
    }
  });

  test('is for an auditor of its tenant, purpose, algorithm and key', async () => {
    const index = await signatureOf(red);
    for (const caveats of [['tenant = *'], ['tenant = red'], ['tenant = red', 'purpose = a'], ['tenant = *', `kid = ${red}`]]) expect((await receiptOf(index, auditor(...caveats))).status).toBe(200);
    for (const caveats of [['tenant = blue'], ['tenant = red', 'purpose = b'], ['tenant = red', 'alg = ml-dsa'], ['tenant = *', `kid = ${redOther}`], ['tenant = *', `kid = ${red}`, `kid = ${redOther}`], ['tenant = red', 'tenant = blue']]) {
      expect((await receiptOf(index, auditor(...caveats))).status).toBe(403);
    }
  });

  test('is for the client that made the entry, whatever its scopes', async () => {
    const { status, type } = await receiptOf(await signatureOf(red), token('red-app', 'scope = kms:sign', 'tenant = red'));
    expect([status, type]).toEqual([200, 'text/plain; charset=utf-8']);
  });

  test('is not for the same client of another root key, nor for another client of the tenant, nor for a token narrowed to something else', async () => {
    const index = await signatureOf(red);
    const elsewhere = tokenOf({ clientId: 'red-app', caveats: ['scope = kms:sign', 'tenant = red', HOUR], rootKeyId: OTHER_ROOT.id, secret: OTHER_ROOT.secret });
    for (const by of [elsewhere, token('red-app2', 'scope = kms:sign', 'tenant = red'), token('blue-app', 'scope = kms:sign', 'tenant = *'), token('red-app', 'scope = kms:sign', 'tenant = red', 'purpose = b')]) {
      expect((await receiptOf(index, by)).status).toBe(403);
    }
  });

  test('guessing at indices tells a client nothing of others: there or not, the answer is the same', async () => {
    const by = token('blue-app', 'scope = kms:sign', 'tenant = blue');
    const answers = await Promise.all([await signatureOf(red), 0, wired.audit.size() + 5, 99_999_999].map((index) => receiptOf(index, by)));
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
    expect(new Set(answers.map(({ text }) => text.replaceAll(/"(ts|request_id)":"[^"]*"/g, ''))).size).toBe(1);
  });

  test('that is not there is 404 to who may see how long the log is', async () => {
    for (const by of [auditor('tenant = red'), token('reader', 'scope = kms:read', 'tenant = red')]) expect((await receiptOf(wired.audit.size(), by)).status).toBe(404);
  });

  test.each(['-1', '1.0', '01', '1e3', 'x', '%31x', '9007199254740993', '1/2', '..%2f1', ''])('of index %j is refused', async (index) => {
    expect([400, 404]).toContain((await receiptOf(index, auditor('tenant = *'))).status);
  });

  test('waits for the checkpoint that covers it', async () => {
    await wired.audit.checkpointNow();
    wired.audit.signer.failWith(new Error('not now'));
    const { index } = (await call(wired, 'POST', '/sign', { kid: red, payload_b3: DIGEST }, redToken)).body['audit'] as { index: number };
    let answer: Awaited<ReturnType<typeof receiptOf>> | undefined;
    const asking = receiptOf(index, redToken).then((given) => { answer = given; });
    expect((await receiptOf(index - 1, auditor('tenant = *'))).status).toBe(200);
    expect(answer).toBeUndefined();
    wired.audit.signer.failWith(undefined);
    await asking;
    expect(answer?.status).toBe(200);
    expect(checkReceipt(answer?.text ?? '', keys())).toMatchObject({ ok: true, index });
  });

  test('of an entry that is not kept any more is 404', async () => {
    const first = short.audit.minimumIndex();
    for (const [index, status] of [[first - 1, 404], [0, 404], [first, 200]] as const) expect((await receiptOf(index, auditor('tenant = *'), short)).status).toBe(status);
  });
});
