import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse, stringify } from 'smol-toml';
import { expect, test } from 'vitest';
import { configKeys, configPaths } from '../../src/config/keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';

const fits = new Ajv2020({ strict: true, allErrors: true }).compile(configSchema());

function isTaken(text: string): boolean {
  try {
    loadConfig({ file: { path: 'kms.toml', text }, environment: {}, flags: {} });
    return true;
  } catch {
    return false;
  }
}

function nested(path: string, value: unknown): Record<string, unknown> {
  return path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Record<string, unknown>;
}

const values: readonly unknown[] = [
  true, false, 0, 1, 7, 100, 512, 65_537, -1, 1.5, '', 'x', 'and', 'or', 'file', 'disk', '5s', '24h', '05s', '5 s', '1MiB', '64KiB', '1MB', '127.0.0.1:9446', '[::1]:0', 'localhost', ':9446',
  [], ['ed25519'], ['ed25519', 'ed25519'], ['ed25519', 'rsa'], ['aes-256-gcm'], [0], [1000, 4_294_967_296], ['1'], 'KMS_PASSPHRASE', 'a b', '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b',
  'witness.example/w1+0cc3a1b2+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'uuidv4', 'hashes', 'builtin', 'keyset', 'passphrase', {}, { a: 1 },
];

test.each(configPaths)('the schema takes of %s what the service takes, and nothing else', (path) => {
  for (const value of values) {
    const text = stringify(nested(path, value));
    expect([path, value, fits(parse(text))]).toEqual([path, value, isTaken(text)]);
  }
  const { kind, fallback } = configKeys[path] as { kind: { show: (value: unknown) => unknown }; fallback: unknown };
  if (fallback !== undefined) expect(fits(nested(path, kind.show(fallback)))).toBe(true);
});

test.each([
  ['profile = "micronode"', true], ['profile = "giganode"', false], ['nonsense = 1', false], ['[pq]\nverify_mod = "or"', false],
  ['[tenants.core]\nverify_mode = "or"\nquotas.rps = 5', true], ['[tenants.core]\nverify_mode = "none"', false], ['[tenants.Core]\nverify_mode = "or"', false], ['[tenants.core.quotas]\ncpu = 1', false],
  ['verify_mode = "or"', true], ['verify_mode = "none"', false],
])('%j: %s', (text, isGood) => {
  expect([fits(parse(text)), isTaken(text)]).toEqual([isGood, isGood]);
});
