import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestService } from '../harness/service.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const MANY = 1003;
const AT_ONCE = 32;
const token = tokenOf({ caveats: everything('*') });

let service: TestService;
let made: readonly string[];
beforeAll(async () => {
  service = await startService();
  const kids: string[] = [];
  for (let i = 0; i < MANY; i += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, MANY - i) }, (_, j) => createKey(service, { tenant: 'many', alg: 'aes-256-gcm', labels: { n: String(i + j) } }, token));
    kids.push(...(await Promise.all(batch)).map(({ kid }) => kid as string));
  }
  made = kids;
});
afterAll(async () => { await service.stop(); });

const list = async (query: Readonly<Record<string, string>>): Promise<{ readonly kids: readonly string[]; readonly cursor: string | undefined }> => {
  // A plus in a query stands for itself, so nothing but the necessary is escaped.
  const text = Object.entries(query).map(([name, value]) => `${name}=${value.replace(/[%&#\s]/g, encodeURIComponent)}`).join('&');
  const { status, body } = await call(service, 'GET', `/keys?${text}`, undefined, token);
  if (status !== 200) throw new Error(`${text} answered ${status}`);
  return { kids: body['keys'].map(({ kid }: { kid: string }) => kid), cursor: body['next_cursor'] };
};

async function allPages(query: Readonly<Record<string, string>>): Promise<{ readonly kids: readonly string[]; readonly pages: number }> {
  const kids: string[] = [];
  let pages = 0;
  let cursor: string | undefined;
  do {
    const page = await list({ ...query, ...(cursor !== undefined && { cursor }) });
    kids.push(...page.kids);
    pages++;
    cursor = page.cursor;
  } while (cursor !== undefined && pages < 2 * MANY);
  return { kids, pages };
}

describe('paging', () => {
  test('gives a thousand at most, and the rest by the cursor', async () => {
    const first = await list({ tenant: 'many', limit: '1000' });
    expect(first.kids).toHaveLength(1000);
    const rest = await list({ tenant: 'many', limit: '1000', cursor: first.cursor ?? '' });
    expect(rest).toEqual({ kids: expect.any(Array), cursor: undefined });
    expect(new Set([...first.kids, ...rest.kids])).toEqual(new Set(made));
  });

  test.each(['1', '7', '100', '999', '1000'])('%s at a time gives every key once', async (limit) => {
    const query = { tenant: 'many', limit, ...(limit === '1' && { label: 'n:17' }) };
    const { kids, pages } = await allPages(query);
    if (limit === '1') expect(kids).toHaveLength(1);
    else expect({ size: new Set(kids).size, length: kids.length, pages }).toEqual({ size: MANY, length: MANY, pages: Math.ceil(MANY / Number(limit)) });
  });

  test('goes on where it was although keys are made meanwhile', async () => {
    const first = await list({ tenant: 'many', limit: '500' });
    const extra = await createKey(service, { tenant: 'many', alg: 'aes-256-gcm' }, token);
    const { kids } = await allPages({ tenant: 'many', limit: '500', cursor: first.cursor ?? '' });
    expect(first.kids.filter((kid) => kids.includes(kid))).toEqual([]);
    expect(new Set([...first.kids, ...kids]).isSupersetOf(new Set(made))).toBe(true);
    expect(extra['kid']).toContain('many/');
  });

  test('has no cursor after the last page, though it is full', async () => {
    const { kids } = await list({ tenant: 'many', label: 'n:5', limit: '1' });
    expect(kids).toHaveLength(1);
    expect((await list({ tenant: 'many', label: 'n:5', limit: '1' })).cursor).toBeUndefined();
  });

  test.each(['0', '1001', '-1', '1e3', '10.0', ' 1', '', '01', 'ten'])('a limit of %j is refused', async (limit) => {
    expect((await call(service, 'GET', `/keys?limit=${encodeURIComponent(limit)}`, undefined, token)).status).toBe(400);
  });

  test.each(['x', 'AAAA', 'bWFueQ', '__proto__', Buffer.from('many/audit/rsa/x').toString('base64url')])('a cursor that no list gave, %s, is refused', async (cursor) => {
    expect((await call(service, 'GET', `/keys?cursor=${cursor}`, undefined, token)).status).toBe(400);
  });
});

describe('filters', () => {
  const kidOf: Record<string, string> = {};
  beforeAll(async () => {
    const make = async (name: string, fields: Record<string, unknown>): Promise<void> => { kidOf[name] = (await createKey(service, { tenant: 'few', ...fields }, token))['kid']; };
    await make('hybrid', { labels: { team: 'a+b', x: 'a b', colon: 'k:v:w', empty: '', odd: '%2B&=#é' } });
    await make('classic', { purpose: 'deploy', alg: 'ed25519', labels: { team: 'a b' } });
    await make('kem', { purpose: 'kem-x', labels: { team: 'a%2Bb' } });
    await make('off', { purpose: 'deploy', alg: 'ed25519' });
    await make('going', { alg: 'ml-dsa' });
    await call(service, 'POST', `/keys/${encodeURIComponent(kidOf['off'] ?? '')}/disable`, {}, token);
    await call(service, 'POST', `/keys/${encodeURIComponent(kidOf['going'] ?? '')}/destroy`, {}, token);
  });

  test.each<[Readonly<Record<string, string>>, readonly string[]]>([
    [{}, ['hybrid', 'classic', 'kem', 'off', 'going']],
    [{ purpose: 'deploy' }, ['classic', 'off']],
    [{ alg: 'ed25519' }, ['classic', 'off']],
    [{ alg: 'ed25519+ml-dsa' }, ['hybrid']],
    [{ alg: 'x25519+ml-kem' }, ['kem']],
    [{ state: 'enabled' }, ['hybrid', 'classic', 'kem']],
    [{ state: 'disabled' }, ['off']],
    [{ state: 'scheduled' }, ['going']],
    [{ state: 'destroyed' }, []],
    [{ label: 'team:a+b' }, ['hybrid']],
    [{ label: 'team:a b' }, ['classic']],
    [{ label: 'team:a%2Bb' }, ['kem']],
    [{ label: 'colon:k:v:w' }, ['hybrid']],
    [{ label: 'empty:' }, ['hybrid']],
    [{ label: 'team:' }, []],
    [{ label: 'odd:%2B&=#é' }, ['hybrid']],
    [{ label: 'nobody:has' }, []],
    [{ purpose: 'deploy', state: 'enabled', alg: 'ed25519', label: 'team:a b' }, ['classic']],
    [{ purpose: 'nothing' }, []],
  ])('%j', async (query, names) => {
    expect((await list({ tenant: 'few', ...query })).kids).toEqual(names.map((name) => kidOf[name]));
  });

  test('a plus and its escape are the same in a query', async () => {
    for (const text of ['alg=ed25519+ml-dsa', 'alg=ed25519%2Bml-dsa', 'label=team:a+b', 'label=team:a%2Bb', 'label=team%3Aa%2bb']) {
      const { body } = await call(service, 'GET', `/keys?tenant=few&${text}`, undefined, token);
      expect({ text, kids: body['keys'].map(({ kid }: { kid: string }) => kid) }).toEqual({ text, kids: [kidOf['hybrid']] });
    }
  });

  test('the documents of a list are those of the keys themselves', async () => {
    const { body } = await call(service, 'GET', '/keys?tenant=few', undefined, token);
    for (const document of body['keys']) {
      expect((await call(service, 'GET', `/keys/${encodeURIComponent(document.kid)}`, undefined, token)).body).toEqual(document);
    }
  });
});
