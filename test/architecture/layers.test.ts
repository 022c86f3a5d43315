import { describe, expect, test } from 'vitest';
import { importsOf, sourceFiles, textOf } from './source-files.ts';

const files = sourceFiles('src', 'client/src');
const imports = importsOf(files);

/**
 * Who may import whom: `core ← ports ← service ← {http, cli}`, `adapters → ports, core`, only main and compose see all.
 * `verifier` is the part of the client that checks the log; it knows nobody, and whoever writes the log uses it too.
 */
const allowed: Readonly<Record<string, readonly string[]>> = {
  verifier: ['verifier'],
  core: ['core', 'verifier'],
  ports: ['ports', 'core', 'verifier'],
  service: ['service', 'ports', 'core', 'verifier'],
  adapters: ['adapters', 'ports', 'core', 'verifier'],
  http: ['http', 'service', 'ports', 'core', 'verifier'],
  config: ['config', 'core'],
  cli: ['cli', 'config', 'core', 'client', 'verifier'],
  compose: ['compose', 'adapters', 'service', 'ports', 'core', 'http', 'config', 'cli', 'client', 'verifier'],
  main: ['compose', 'cli', 'verifier'],
  client: ['client', 'verifier'],
};

/** The files that may read secrets: each hands the bytes straight to native code or to the one who asked. */
const MAY_REVEAL = [
  'src/adapters/root-key/root-key.ts', 'src/adapters/tpm/key-device.ts', 'src/adapters/tpm/tpm.ts', 'src/compose/cloud.ts', 'src/compose/pkcs11.ts',
  'src/core/secret.ts', 'src/adapters/auth-keyset/capabilities.ts', 'src/adapters/log-keys/key-pair.ts',
  'src/adapters/backup-file/frames.ts', 'src/adapters/backup-file/write-backup.ts', 'src/adapters/custody-file/sealed-blob.ts', 'src/adapters/store-file/mac-keys.ts',
  ...['kdf', 'passphrase', 'sealing'].map((name) => `src/adapters/root-key/${name}.ts`),
];

/** Written by scripts/generate-client-types.ts. */
const GENERATED = 'client/src/wire.ts';

function layerOf(path: string): string {
  if (path.startsWith('client/')) return path.startsWith('client/src/log/') ? 'verifier' : 'client';
  const [, layer = ''] = path.split('/');
  return layer === 'main.ts' ? 'main' : layer;
}

describe('the house', () => {
  test('was seen whole: enough files and imports were read', () => {
    expect(files.length).toBeGreaterThan(80);
    expect(imports.filter(({ to }) => to.startsWith('src/')).length).toBeGreaterThan(200);
  });

  test('every layer imports only what stands below it', () => {
    const inside = imports.filter(({ to }) => to.startsWith('src/') || to.startsWith('client/'));
    const wrong = inside.filter(({ from, to }) => allowed[layerOf(from)]?.includes(layerOf(to)) !== true);
    expect(wrong).toEqual([]);
  });

  test('a wrong import would be seen', () => {
    expect(allowed['core']?.includes(layerOf('src/adapters/system/clock.ts'))).toBe(false);
    expect(importsOf(['src/service/sign.ts'])).toContainEqual({ from: 'src/service/sign.ts', to: 'src/ports/audit-log.ts' });
  });

  test('what makes traces is loaded where they are collected, and nowhere else', () => {
    const maker = 'src/adapters/tracing/otlp.ts';
    expect(new Set(imports.filter(({ to }) => to.startsWith('@opentelemetry/')).map(({ from }) => from))).toEqual(new Set([maker]));
    expect(imports.filter(({ to }) => to === maker).map(({ from }) => from)).toEqual(['src/compose/tracing.ts']);
    expect(textOf('src/compose/tracing.ts')).not.toMatch(/^import .*otlp/m);
  });

  test('core does no input or output', () => {
    const io = /^(node:)?(fs|http|https|child_process|timers|worker_threads|os|dgram|tls)\b/;
    expect(imports.filter(({ from, to }) => layerOf(from) === 'core' && io.test(to))).toEqual([]);
  });

  test('the verifier needs hashes and signatures, and nothing else of Node', () => {
    const inVerifier = imports.filter(({ from, to }) => layerOf(from) === 'verifier' && layerOf(to) !== 'verifier');
    expect([...new Set(inVerifier.map(({ to }) => to))]).toEqual(['node:crypto']);
  });

  test('the client has no dependencies but what Node brings', () => {
    const foreign = imports.filter(({ from, to }) => from.startsWith('client/') && !to.startsWith('client/') && !to.startsWith('node:'));
    expect(foreign).toEqual([]);
  });

  test('secrets are read in few places', () => {
    const readers = imports.filter(({ to }) => to === 'src/core/reveal.ts').map(({ from }) => from);
    expect(readers.toSorted()).toEqual(MAY_REVEAL.toSorted());
  });

  test('only main, the system adapters and what is a process of its own touch the process', () => {
    const touching = files.filter((path) => !/^src\/(main\.ts|adapters\/system\/|.*-process\.ts$)/.test(path) && /(?<![\w.-])process\./.test(code(path)));
    expect(touching).toEqual([]);
  });

  test('only the algorithm table lists algorithms', () => {
    const elsewhere = files.filter((path) => !path.startsWith('client/') && layerOf(path) !== 'cli' && /'(mldsa65-ed25519-sha512|ed25519\+ml-dsa|x25519\+ml-kem)'/.test(code(path)));
    expect(elsewhere).toEqual(['src/core/algorithm/table.ts']);
  });

  test('files have one reason and names that say it', () => {
    expect(files.filter((path) => path !== GENERATED && textOf(path).split('\n').length > 400)).toEqual([]);
    expect(files.filter((path) => /(^|\/)(utils?|helpers?|common|misc|shared)(\.|\/)/.test(path))).toEqual([]);
    expect(files.filter((path) => !/^[a-z0-9./-]+$/.test(path))).toEqual([]);
  });
});

/** The file without its comments. */
function code(path: string): string {
  return textOf(path).replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
}
