import type { TestService } from '../harness/service.ts';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateClientTypes } from '../../scripts/generate-client-types.ts';
import { attenuateToken, createClient } from '../../client/src/index.ts';
import { attenuate, mint } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { startService, tokenOf } from '../harness/service.ts';
import { ROOT } from '../architecture/source-files.ts';

const CLIENT = join(ROOT, 'client');

describe('the types of the wire', () => {
  test('are what the schemas make now, each time the same', async () => {
    const made = await generateClientTypes();
    expect(readFileSync(join(CLIENT, 'src/wire.ts'), 'utf8')).toBe(made);
    expect(await generateClientTypes()).toBe(made);
  });
});

describe('the client', () => {
  let service: TestService;
  beforeAll(async () => { service = await startService(); });
  afterAll(async () => { await service.stop(); });

  test('has a method for every call of the API, and none that is not there', async () => {
    const calls = new Set<string>();
    const client = createClient({
      url: 'http://kms', token: 'token',
      fetch: async (input, init) => {
        calls.add(`${init?.method} ${decodeURIComponent(new URL(input as string).pathname)}`);
        // As whatever the call takes first.
        const [type = ''] = new Headers(init?.headers).get('accept')?.split(',') ?? [];
        return new Response(JSON.stringify({ keys: [], records: [] }), { headers: { 'content-type': type } });
      },
    });
    const { allKeys, allRecords, receipt, tile, ...methods } = client;
    for (const method of Object.values(methods)) await (method as (kid: string, body: object) => Promise<unknown>)('{kid}', {});
    for (const every of [allKeys, allRecords]) await Array.fromAsync<unknown>(every());
    await Promise.all([receipt(7), tile('tile/0/000')]);

    const { paths } = await createClient({ url: service.apiUrl, token: tokenOf() }).openapi() as { paths: Record<string, object> };
    const operations = Object.entries(paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
    // What is always refused is no call; the document does not list itself.
    const served = operations.filter((operation) => !/\/(private|export)$/.test(operation)).map((operation) => operation.replace('{index}', '7').replace('{tile}', '0/000'));
    expect([...calls].toSorted()).toEqual([...served, 'GET /v1/kms/openapi.json'].toSorted());
  });

  test('narrows a token exactly as the service\'s own code does, and the service takes it', async () => {
    const token = tokenOf();
    const caveats = ['scope = kms:read', 'purpose = audit', `alg = ed25519`, 'rps = 50', `kid = core/${'p'.repeat(63)}/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1`];
    const macaroon = decodeToken(token);
    if (macaroon === undefined) throw new Error('no token');
    expect(attenuateToken(token, caveats)).toBe(encodeToken(caveats.reduce(attenuate, macaroon)));
    expect(attenuateToken(attenuateToken(token, caveats.slice(0, 2)), caveats.slice(2))).toBe(attenuateToken(token, caveats));
    expect(attenuateToken(token, [])).toBe(token);
    const answer = await createClient({ url: service.apiUrl, token: attenuateToken(token, ['scope = kms:read', 'rps = 50']) }).readToken();
    expect(answer.scopes).toEqual(['kms:read']);
  });

  test('does not narrow what is no token, by what is no caveat, or beyond the limits', () => {
    const token = tokenOf();
    const long = encodeToken(mint(Buffer.alloc(32), 'ron1.a.b.c', Array.from({ length: 64 }, () => 'rps = 50')));
    for (const wrong of ['', 'AgE', token.slice(0, -1), `${token}A`, token.slice(4), `${token}=`, Buffer.from('hello').toString('base64url'), Buffer.alloc(100).toString('base64url'), Buffer.alloc(100, 2).toString('base64url')]) {
      expect(() => attenuateToken(wrong, ['rps = 50'])).toThrow(/^the token is not/);
    }
    for (const wrong of ['', 'rps=50', 'rps = ', ' rps = 50', 'rps  = 50', 'rps = 50 ', 'Rps = 5', 'a = b\nc = d']) expect(() => attenuateToken(token, [wrong])).toThrow(/^a caveat is written/);
    expect(() => attenuateToken(long, ['rps = 50'])).toThrow(/at most 64 caveats/);
    expect(() => attenuateToken(token, Array.from({ length: 10 }, () => `purpose = ${'x'.repeat(1000)}`))).toThrow(/at most 8192 bytes/);
  });

  test('answers as its types say: the whole round against a real service', async () => {
    const client = createClient({ url: service.apiUrl, token: tokenOf() });
    const { kid } = await client.createKey({ tenant: 'core', purpose: 'sdk', labels: { note: 'a b+c' }, op_id: 'sdk-1' });
    const payload = { payload_b64: Buffer.from('the deed').toString('base64') };
    const { sigs } = await client.sign({ kid, ...payload });
    expect(await client.verify({ kid, ...payload, sigs })).toMatchObject({ ok: true });
    expect((await client.signBatch({ items: [{ kid, ...payload }, { kid: kid.replace('#v1', '#v9'), ...payload }] })).items).toMatchObject([{ kid }, { error: { code: 'NotFound' } }]);
    expect((await client.verifyBatch({ items: [{ kid, ...payload, sigs }] })).items).toMatchObject([{ ok: true }]);
    expect(await client.rotateKey(kid)).toMatchObject({ previous: kid });
    expect(await client.getKey(kid)).toMatchObject({ current_version: 2 });
    expect((await client.listKeys({ label: 'note:a b+c' })).keys).toHaveLength(1);
    const wrapKey = await client.createKey({ tenant: 'core', purpose: 'wrap' });
    const { wrapped_b64: wrapped, plaintext_key_b64: plaintext } = await client.wrap({ kid: wrapKey.kid, size: 32 });
    expect(await client.unwrap({ wrapped_b64: (await client.rewrap({ wrapped_b64: wrapped })).wrapped_b64 })).toMatchObject({ plaintext_key_b64: plaintext });
  });
});

/** The Node of the machine, not the one that came with the packages. */
const OLD_NODE = spawnSync('/usr/bin/env', ['-i', 'PATH=/usr/bin:/usr/local/bin', 'node', '--version']);
const oldVersion = OLD_NODE.status === 0 ? OLD_NODE.stdout.toString().trim() : undefined;
if (oldVersion === undefined) console.error('SKIPPED: this machine has no Node of its own, so the built client was not tried on an older one');

describe('the built package', () => {
  let service: TestService;
  beforeAll(async () => {
    rmSync(join(CLIENT, 'dist'), { recursive: true, force: true });
    execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['--project', 'tsconfig.json'], { cwd: CLIENT });
    service = await startService();
  });
  afterAll(async () => { await service.stop(); });

  const script = `
    const { attenuateToken, createClient, KmsClientError } = await import(process.argv[1]);
    const url = process.argv[2];
    const token = attenuateToken(process.argv[3], ['rps = 500']);
    const client = createClient({ url, token });
    const { kid } = await client.createKey({ tenant: 'core', purpose: 'old', op_id: 'old-1' });
    const payload_b64 = Buffer.from('the deed').toString('base64');
    const { sigs } = await client.sign({ kid, payload_b64 });
    const { ok } = await client.verify({ kid, payload_b64, sigs });
    const fault = await client.getKey(kid.replace('#v1', '#v7')).catch((fault) => fault);
    const late = await createClient({ url, token, timeoutMs: 1 }).signBatch({ items: Array.from({ length: 64 }, () => ({ kid, payload_b64 })) }).catch((fault) => fault);
    console.log(JSON.stringify({ node: process.version, ok, isError: fault instanceof KmsClientError, code: fault.code, late: late.code }));
  `;

  test.skipIf(oldVersion === undefined)(`works on the machine's own Node (${oldVersion ?? 'none'})`, () => {
    const ran = spawnSync('/usr/bin/env', ['-i', 'PATH=/usr/bin:/usr/local/bin', 'node', '--input-type=module', '-e', script, join(CLIENT, 'dist/index.js'), service.apiUrl, tokenOf()]);
    expect(ran.stderr.toString()).toBe('');
    expect(JSON.parse(ran.stdout.toString())).toEqual({ node: oldVersion, ok: true, isError: true, code: 'NotFound', late: 'DeadlineExceeded' });
  });

  test('holds the built files only, each with its types, and asks for nothing', () => {
    const [pack] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: CLIENT, stdio: ['ignore', 'pipe', 'ignore'] }).toString()) as [{ files: { path: string }[] }];
    const paths = pack.files.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['package.json', 'README.md', 'dist/index.js', 'dist/index.d.ts', 'dist/wire.d.ts']));
    expect(paths.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([]);
    const manifest = JSON.parse(readFileSync(join(CLIENT, 'package.json'), 'utf8')) as Record<string, unknown>;
    for (const field of ['dependencies', 'peerDependencies', 'optionalDependencies']) expect(manifest).not.toHaveProperty(field);
  });
});
