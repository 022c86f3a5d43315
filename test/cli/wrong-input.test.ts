import type { TestService } from '../harness/service.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';
import { ronKms, showsStack } from './ron-kms.ts';

let service: TestService;
let env: Record<string, string>;
const KID = 'core/audit/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';

beforeAll(async () => {
  service = await startService();
  env = { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: tokenOf() };
  const file = (name: string, text: string, mode = 0o644) => writeFileSync(join(service.directory, name), text, { mode });
  file('deed.txt', 'the deed');
  file('not.json', 'nothing of the kind');
  file('other.json', '{"a":1}');
  file('no-kid.json', '{"kid":"x","sigs":[{"alg":"ed25519","signature_b64":"AA=="}]}');
  file('bad.toml', 'bind_addr = 7\n');
  file('broken.toml', '= [');
  file('big.bin', 'x'.repeat(70_000));
  file('empty', '');
  file('two-keys.json', '{"keys":[{"id":"a","secret_b64":"AAAAAAAAAAAAAAAAAAAAAA=="},{"id":"b","secret_b64":"AAAAAAAAAAAAAAAAAAAAAA=="}]}', 0o600);
  mkdirSync(join(service.directory, 'folder'));
});
afterAll(async () => { await service.stop(); });

/** Every command with something wrong about it: what stands there, and what it says. All of them are the caller's to correct. */
const wrong: readonly (readonly [line: string, says: RegExp])[] = [
  ['nothing', /there is no command "nothing"/],
  ['keys', /keys needs one more word/],
  ['serve --profile nowhere', /profile must be one of/],
  ['serve --bind-addr nowhere', /--bind-addr must be an address such as/],
  ['serve --max-conns=-1', /--max-conns must be a whole number/],
  ['keys create --purpose audit', /--tenant is missing: whose/],
  ['keys create --tenant core', /--purpose is missing/],
  ['keys create --tenant core --purpose p --alg rsa', /--alg is one of ed25519/],
  ['keys create --tenant core --purpose p --label team', /--label is written name=value/],
  ['keys create --tenant core --purpose p --policy-hints [1]', /--policy-hints is a JSON object/],
  ['keys create --tenant core --purpose p --input x', /--input is one of b3, raw/],
  ['keys get', /keys get needs <kid>/],
  ['keys get core/audit', /<kid> is a kid: .*keys list/],
  ['keys get ..', /<kid> is a kid/],
  ['keys list --limit 5000', /--limit is 1 to 1000/],
  ['keys list --state gone', /--state is one of enabled/],
  ['keys list --label a=b --label c=d', /takes one --label/],
  ['keys list --timeout soon', /--timeout is a duration/],
  ['keys list --url ftp://x', /the url of a service is http/],
  ['keys list --url http://user:pass@127.0.0.1:1', /the url of a service is http/],
  [`keys set ${KID}`, /there is nothing to set/],
  [`keys set ${KID} --rotate-after 1h --no-rotate`, /give one of --rotate-after and --no-rotate/],
  [`keys set ${KID} --label a=b --no-labels`, /give one of --label and --no-labels/],
  [`keys rotate ${KID} more`, /keys rotate takes <kid> and nothing more/],
  ['keys disable x', /<kid> is a kid/],
  ['keys enable', /keys enable needs <kid>/],
  ['keys destroy x', /<kid> is a kid/],
  ['keys restore x', /<kid> is a kid/],
  [`sign lost.txt --kid ${KID}`, /cannot read lost.txt: there is no such file/],
  [`sign folder --kid ${KID}`, /cannot read folder: it is a directory/],
  ['sign deed.txt', /--kid is a kid/],
  [`sign --kid ${KID}`, /sign needs <file\|->/],
  [`sign deed.txt --kid ${KID} --context-b64 %`, /--context-b64 is standard base64/],
  ['verify deed.txt', /--signature is missing: the bundle/],
  ['verify deed.txt --signature not.json', /not.json is not a signature bundle/],
  ['verify deed.txt --signature other.json', /other.json is not a signature bundle/],
  ['verify deed.txt --signature no-kid.json', /kid in the bundle is a kid/],
  ['verify deed.txt --signature big.bin', /big.bin is over 64 KiB/],
  ['verify deed.txt --signature no-kid.json --mode loose', /--mode is one of/],
  ['verify - --signature -', /only one of the file and the bundle/],
  [`wrap --kid ${KID}`, /give one of --size.*and --in/],
  [`wrap --kid ${KID} --size 32 --in deed.txt`, /give one of --size/],
  [`wrap --kid ${KID} --size 8`, /--size is 16 to 64/],
  [`wrap --kid ${KID} --in empty`, /a data key is 1 to 4096 bytes/],
  [`wrap --kid ${KID} --in deed.txt --key-out k`, /for a key that the service makes/],
  [`wrap --kid ${KID} --size 32 --kem-mode x`, /--kem-mode is one of/],
  ['unwrap not.json', /not.json is not a wrapped key/],
  ['unwrap other.json', /other.json is not a wrapped key/],
  ['unwrap lost', /cannot read lost/],
  ['rewrap empty', /empty is not a wrapped key/],
  ['token mint --client c --tenant t --scope sign --expires 1h', /--keyset is missing/],
  ['token mint --keyset keyset.json --tenant t --scope sign --expires 1h', /--client is missing/],
  ['token mint --keyset keyset.json --client c --scope sign --expires 1h', /--tenant is missing/],
  ['token mint --keyset keyset.json --client c --tenant t --expires 1h', /--scope is missing/],
  ['token mint --keyset keyset.json --client c --tenant t --scope sign', /--expires is missing/],
  ['token mint --keyset keyset.json --client c --tenant t --scope dance --expires 1h', /--scope does not fit/],
  ['token mint --keyset keyset.json --client c --tenant t --scope sign --expires later', /--expires is a duration/],
  ['token mint --keyset keyset.json --client c --tenant t --scope sign --expires 2020-01-01T00:00:00Z', /--expires is over before/],
  ['token mint --keyset keyset.json --client c --tenant t --scope sign --expires 1h --peer here', /--peer does not fit/],
  ['token mint --keyset keyset.json --client c --tenant t --scope sign --expires 1h --rps 0', /--rps does not fit/],
  ['token mint --keyset keyset.json --client c.d --tenant t --scope sign --expires 1h', /--client and --token-id are 1 to 64/],
  ['token mint --keyset keyset.json --key lost --client c --tenant t --scope sign --expires 1h', /no key of this --key; it has test/],
  ['token mint --keyset two-keys.json --client c --tenant t --scope sign --expires 1h', /--key is missing: the key set has a, b/],
  ['token mint --keyset not.json --client c --tenant t --scope sign --expires 1h', /not.json is not a key set/],
  ['token attenuate', /there is nothing to narrow by/],
  ['token attenuate --caveat colour=blue', /--caveat is not one that a ron-kms knows/],
  ['token attenuate abc --purpose p', /the token cannot be decoded/],
  ['token inspect abc', /the token cannot be decoded/],
  ['token inspect a.b', /the token is not one: it is base64url/],
  ['token inspect --token-file lost', /cannot read lost/],
  ['token inspect abc --token-file lost', /give the token one way/],
  ['token new-keyset keyset.json', /keyset.json is there already/],
  ['token new-keyset lost/keyset.json', /cannot write lost\/keyset.json: there is no such/],
  ['token new-keyset', /token new-keyset needs <file>/],
  ['config check --profile macronode', /needs backends\.pkcs11\.module_path/],
  ['config check --config lost.toml', /lost.toml cannot be read/],
  ['config print --config bad.toml', /bind_addr must be an address/],
  ['config print --config broken.toml', /broken.toml is not TOML/],
  ['doctor --metrics-addr x', /--metrics-addr must be an address|configuration/],
];

describe('wrong input', () => {
  test.each(wrong)('%s', async (line, says) => {
    const { code, out, err } = await ronKms(line.split(' '), { cwd: service.directory, env });
    // The doctor goes on and tells it as a finding.
    expect(code).toBe(line.startsWith('doctor') ? 1 : 2);
    expect(out + err).toMatch(says);
    expect(showsStack(out + err)).toBe(false);
    if (!line.startsWith('doctor')) expect(out).toBe('');
  });

  test('under --json it is one line of JSON, and standard output stays empty', async () => {
    for (const line of ['keys get x --json', 'sign lost --kid x --json', 'token inspect a.b --json', 'config check --profile macronode --json', `keys get ${KID} --json`, 'keys list --json --url http://127.0.0.1:9']) {
      const { out, err } = await ronKms(line.split(' '), { cwd: service.directory, env });
      expect(out).toBe('');
      const { error } = JSON.parse(err) as { error: object };
      expect(error).toEqual(expect.objectContaining({ code: expect.any(String), message: expect.any(String) }));
    }
  });
});

describe('the exit code', () => {
  test('0 for done', async () => {
    expect(await ronKms(['keys', 'list'], { env })).toMatchObject({ code: 0, err: '' });
  });

  test('1 for refused, with the code, what to do, and the id to ask by', async () => {
    const { code, err } = await ronKms(['keys', 'get', KID], { env: { ...env, RON_KMS_TOKEN: tokenOf({ caveats: [] }) } });
    expect(code).toBe(1);
    expect(err).toMatch(/NoCapability \(403\): no capability for this\n {2}hint: the token has no scope\n {2}request id: [0-9a-f-]{36}\n/);
  });

  test('1 for refused, under --json the error as the service sent it', async () => {
    const { code, err } = await ronKms(['keys', 'get', KID, '--json'], { env });
    expect(code).toBe(1);
    const { error } = JSON.parse(err) as { error: Record<string, unknown> };
    const { body } = await call(service, 'GET', `/keys/${encodeURIComponent(KID)}`);
    expect(Object.keys(error)).toEqual(Object.keys(body['error']));
    expect(error).toMatchObject({ code: 'NotFound', retryable: false });
  });

  test('3 for a signature that does not hold', async () => {
    const { kid } = await createKey(service);
    const { out } = await ronKms(['sign', '-', '--kid', kid], { env, stdin: 'one' });
    writeFileSync(join(service.directory, 'one.sig'), out);
    const { code, out: said } = await ronKms(['verify', '-', '--signature', 'one.sig', '--json'], { cwd: service.directory, env, stdin: 'two' });
    expect(code).toBe(3);
    expect(JSON.parse(said)).toMatchObject({ ok: false });
  });

  test('4 for no service, saying where it was looked for and how to start one', async () => {
    const closed = await startService();
    await closed.stop();
    const { code, err } = await ronKms(['token', 'whoami'], { env: { ...env, RON_KMS_URL: closed.apiUrl } });
    expect(code).toBe(4);
    expect(err).toContain(`${closed.apiUrl} cannot be reached (ECONNREFUSED)`);
    expect(err).toContain('ron-kms serve --profile micronode');
  });

  test('4 for something else at that address', async () => {
    const { code, err } = await ronKms(['token', 'whoami'], { env: { ...env, RON_KMS_URL: service.metricsUrl } });
    expect(code).toBe(4);
    expect(err).toContain('not as a ron-kms does');
  });
});

test('a token on the command line works, and brings a hint of safer ways', async () => {
  const { code, err } = await ronKms(['token', 'whoami', '--token', tokenOf()], { env: { RON_KMS_URL: service.apiUrl } });
  expect(code).toBe(0);
  expect(err).toContain('RON_KMS_TOKEN or --token-file is safer');
  expect(err).not.toContain(tokenOf());
});

test('without a token it says how to come by one', async () => {
  const { code, err } = await ronKms(['keys', 'list'], { env: { RON_KMS_URL: service.apiUrl } });
  expect(code).toBe(2);
  expect(err).toMatch(/there is no token: set RON_KMS_TOKEN, or give --token-file/);
});
