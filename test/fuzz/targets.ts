import type { FuzzTarget } from './engine.ts';
import assert from 'node:assert';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { formatCheckpoint, parseCheckpoint } from '../../client/src/log/checkpoint.ts';
import { checkEvidence } from '../../client/src/log/evidence.ts';
import { parseNote } from '../../client/src/log/note.ts';
import { checkReceipt, formatReceipt, parseReceipt } from '../../client/src/log/receipt.ts';
import { formatVkey, parseVkey } from '../../client/src/log/vkey.ts';
import { encodeAnchorRecord, parseAnchorRecord, readAnchorRecord } from '../../src/adapters/anchor-file/record.ts';
import { parseInFull } from '../../src/adapters/audit-check/entry-layout.ts';
import { parseRevocations } from '../../src/adapters/auth-keyset/revocations.ts';
import { parseHeader } from '../../src/adapters/backup-file/format.ts';
import { openSeeds } from '../../src/adapters/custody-pkcs11/wrapped-blob.ts';
import { verdictOf } from '../../src/adapters/policy-http/verdict.ts';
import { commandsOver, fixedHandle, OWNER } from '../../src/adapters/tpm/commands.ts';
import { TpmFault } from '../../src/adapters/tpm/faults.ts';
import { pointOf, STORAGE_KEY } from '../../src/adapters/tpm/public-areas.ts';
import { ConfigError, loadConfig } from '../../src/config/load.ts';
import { parseEnvelope } from '../../src/core/envelope/envelope.ts';
import { KmsError } from '../../src/core/errors.ts';
import { parseKid } from '../../src/core/key/kid.ts';
import { encodeBundle, parseTilePath, splitBundle, tilePath } from '../../src/core/log/tiles.ts';
import { readCaveats } from '../../src/core/macaroon/caveats.ts';
import { mint } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { parseStrictJson } from '../../src/core/strict-json.ts';
import { formatDuration, formatRfc3339, parseDuration, parseRfc3339 } from '../../src/core/time.ts';
import { httpTarget } from './http-target.ts';
import { pkcs11ModuleTarget, pkcs11ProcessTarget } from './pkcs11-targets.ts';

type Fault = abstract new (...args: never[]) => Error;

/** What the work gives; undefined where it refuses, in the way that it is to refuse. Any other fault is a finding. */
function refusing<T>(work: () => T, ...faults: readonly Fault[]): T | undefined {
  try {
    return work();
  } catch (fault) {
    if (faults.some((kind) => fault instanceof kind)) return undefined;
    throw fault;
  }
}

const vector = (name: string): any => JSON.parse(readFileSync(new URL(`../../docs/formats/vectors/${name}.json`, import.meta.url), 'utf8'));
const mac = (bytes: Buffer): Buffer => createHmac('sha256', Buffer.alloc(32, 1)).update(bytes).digest();
const KID = 'core/audit/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v3';
const ORIGIN = 'ron-kms/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const TOKEN = encodeToken(mint(Buffer.alloc(32, 3), 'ron1.key.client.token', ['scope = kms:sign', 'tenant = core', 'expires = 2030-01-01T00:00:00Z']));
const ANCHOR = encodeAnchorRecord({ origin: ORIGIN, value: 7, head: { treeSize: 9, rootHash: Buffer.alloc(32, 1) } }, mac);
const texts = (...all: readonly string[]): readonly Buffer[] => all.map((text) => Buffer.from(text));

/** Strings of a vector file that hold anything of some length, however deep: beginnings for a search. */
function stringsIn(value: unknown, least: number): readonly string[] {
  if (typeof value === 'string') return value.length >= least ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap((inner) => stringsIn(inner, least)) : [];
}

/** Every parser of what comes from outside, and what it promises. */
export const targets: readonly FuzzTarget[] = [
  {
    name: 'strict-json', words: ['"a":', '\\u0000', '{}', '[', '1e9', 'null'], seeds: texts('{"a":1,"b":[true,null,{"c":"x"}]}', '{"a":"\\u00e9","b":-1.5e3}'),
    run(input) {
      const object = refusing(() => parseStrictJson(input), KmsError, SyntaxError);
      // What it takes, the platform takes, and as the same.
      if (object !== undefined) assert.deepStrictEqual(JSON.parse(input.toString('utf8')), JSON.parse(JSON.stringify(object)));
    },
  },
  {
    name: 'macaroon', words: ['scope = ', 'tenant = *'], seeds: texts(TOKEN),
    run(input) {
      const text = input.toString('latin1');
      const macaroon = decodeToken(text);
      if (macaroon === undefined) return;
      // A location, or who is to discharge a caveat, is read and not kept.
      const again = encodeToken(macaroon);
      if (again.length === text.length) assert.strictEqual(again, text, 'a token has one spelling');
      assert.deepStrictEqual(decodeToken(again)?.caveats.map(({ id }) => id), macaroon.caveats.map(({ id }) => id));
      readCaveats(macaroon.caveats.map(({ id }) => id.toString('utf8')));
    },
  },
  {
    name: 'caveats', words: ['scope = kms:sign', 'tenant = ', 'purpose = ', 'alg = ', 'kid = ', 'expires = ', 'not-before = ', 'peer = 10.0.0.0/8', 'mtls = sha256:', 'rps = 50'],
    seeds: texts(`scope = kms:sign,kms:verify\ntenant = core\nexpires = 2030-01-01T00:00:00Z\nkid = ${KID}\npeer = 10.0.0.0/8\nrps = 5`),
    run: (input) => readCaveats(input.toString('utf8').split('\n')),
  },
  {
    name: 'kid', words: ['ed25519', 'ml-dsa', '#v', '/'], seeds: texts(KID, 'a/b/x25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b'),
    run(input) {
      const text = input.toString('latin1');
      const kid = parseKid(text);
      if (kid !== undefined) assert.strictEqual(kid.version === undefined ? kid.base : `${kid.base}#v${kid.version}`, text);
    },
  },
  {
    name: 'envelope', seeds: stringsIn(vector('envelope'), 200).slice(0, 8).map((text) => Buffer.from(text, /^[0-9a-f]+$/.test(text) ? 'hex' : 'base64')),
    run: (input) => refusing(() => parseEnvelope(input), KmsError),
  },
  {
    name: 'note', words: ['— ', '\n\n'], seeds: texts(...stringsIn(vector('log'), 100).filter((text) => text.includes('\n\n')).slice(0, 4), `${ORIGIN}\n5\n${Buffer.alloc(32).toString('base64')}\n\n— ${ORIGIN} AAAAAA==\n`),
    run(input) {
      const note = parseNote(input.toString('utf8'));
      if (note === undefined) return;
      const checkpoint = parseCheckpoint(note.text);
      if (checkpoint !== undefined) assert.strictEqual(formatCheckpoint(checkpoint), note.text, 'a checkpoint has one spelling');
    },
  },
  {
    name: 'receipt', words: ['c2sp.org/tlog-proof@v1\n', 'index ', 'extra '], seeds: texts(...stringsIn(vector('log'), 60).filter((text) => text.startsWith('c2sp.org/tlog-proof')).slice(0, 4), 'c2sp.org/tlog-proof@v1\nextra e30=\nindex 3\nAAAA\n\n'),
    run(input) {
      const text = input.toString('utf8');
      checkReceipt(text, []);
      const receipt = parseReceipt(text);
      if (receipt !== undefined) assert.strictEqual(formatReceipt(receipt), text, 'a receipt has one spelling');
    },
  },
  {
    name: 'vkey', words: ['+', ORIGIN], seeds: texts(...stringsIn(vector('log'), 60).filter((text) => parseVkey(text) !== undefined).slice(0, 4)),
    run(input) {
      const text = input.toString('utf8');
      const key = parseVkey(text);
      if (key !== undefined) assert.strictEqual(formatVkey(key), text);
    },
  },
  {
    name: 'bundle', seeds: [encodeBundle([Buffer.from('{"a":1}'), Buffer.from('{}')]), encodeBundle([])],
    run(input) {
      const entries = splitBundle(input);
      if (entries !== undefined) assert.deepStrictEqual(encodeBundle(entries), input);
    },
  },
  {
    name: 'tile-path', words: ['x001/', '.p/', 'entries'], seeds: texts(tilePath(0, 1234567), tilePath('entries', 5, 77), tilePath(3, 256)),
    run(input) {
      const text = input.toString('latin1');
      const name = parseTilePath(text);
      if (name !== undefined) assert.strictEqual(tilePath(name.level, name.index, name.width), text, 'a tile has one path');
    },
  },
  {
    name: 'entry', words: ['"actor":{"via":"tcp"}', '"ts":"2026-01-01T00:00:00.000Z"', '"v":1'], seeds: texts(...stringsIn(vector('log'), 200).filter((text) => text.startsWith('{"actor"')).slice(0, 4), '{}'),
    run: (input) => parseInFull(input),
  },
  { name: 'evidence', words: ['"statement_b64":"', '"proof":'], seeds: stringsIn(vector('evidence'), 600).map((text) => Buffer.from(text, 'base64')), run: (input) => assert.strictEqual(checkEvidence(input, { keys: [] }).ok, false) },
  {
    name: 'anchor-record', seeds: [ANCHOR],
    run(input) {
      readAnchorRecord(input);
      const record = parseAnchorRecord(input, ORIGIN, mac);
      // Nobody here has the key: what is taken is what was written.
      if (record !== undefined && !('otherOrigin' in record)) assert.deepStrictEqual(input, ANCHOR);
    },
  },
  { name: 'backup-header', words: ['"format":"ron-kms/backup/v1"', '"seal":"keyfile"'], seeds: texts('{"created_at":"2026-01-01T00:00:00.000Z","format":"ron-kms/backup/v1","instance_id":"x","seal":"keyfile"}'), run: (input) => parseHeader(input) },
  { name: 'revocations', words: ['"token_ids":[', '"client_ids":['], seeds: texts('{"token_ids":["a"],"client_ids":[],"root_key_ids":["b"]}'), run: (input) => refusing(() => parseRevocations(input), Error) },
  {
    name: 'policy-verdict', words: ['"allow":true', '"mode":"and"', '"quotas":{'], seeds: texts('{"result":{"allow":true,"mode":"and","quotas":{"rps":5},"decision_id":"d"}}'),
    run(input) {
      const object = refusing(() => parseStrictJson(input), KmsError, SyntaxError);
      if (object !== undefined) refusing(() => verdictOf(object), Error);
    },
  },
  {
    name: 'settings', words: ['[audit]\n', 'durability = "os"', 'rps = 5', '5s', '1MiB', '[tenants.core]\n'], seeds: texts('bind_addr = "127.0.0.1:0"\n[audit]\ndurability = "os"\n[tenants.core.quotas]\nrps = 5\n', 'profile = "micronode"'),
    run: (input) => refusing(() => loadConfig({ file: { path: 'kms.toml', text: input.toString('utf8') }, environment: {}, flags: {} }), ConfigError),
  },
  {
    name: 'times', words: ['2026-01-01T00:00:00.000Z', '5s'], seeds: texts('2026-02-28T23:59:59.999Z', '90d', '250ms'),
    run(input) {
      const text = input.toString('latin1');
      const ms = parseRfc3339(text);
      if (ms !== undefined) assert.strictEqual(parseRfc3339(formatRfc3339(ms)), ms);
      const duration = parseDuration(text);
      if (duration !== undefined) assert.strictEqual(parseDuration(formatDuration(duration)), duration);
    },
  },
  {
    name: 'pkcs11-blob', seeds: stringsIn(vector('pkcs11'), 100).filter((text) => text.startsWith('01')).map((text) => Buffer.from(text, 'hex')),
    // A token that opens whatever it is given, to another key.
    run: (input) => openSeeds({ decrypt: async () => new Uint8Array(32) }, input, KID, 7),
  },
  { name: 'tpm-public-area', seeds: [STORAGE_KEY], run: (input) => refusing(() => pointOf(input), TpmFault) },
  {
    name: 'tpm-answer', seeds: [Buffer.from('80010000000a00000000', 'hex'), Buffer.from('800200000013000000000000000000000100000000', 'hex'), Buffer.from('80010000000c000000000000', 'hex'), Buffer.from('80010000000a0000098e', 'hex')],
    async run(input) {
      let asked = 0;
      const exchange = async (): Promise<Buffer> => {
        if (asked++ > 0) throw new TpmFault('gone', 'it was asked again');
        return input;
      };
      const link = { exchange, close: async () => undefined };
      try {
        const { parameters } = await commandsOver(link).run('Create', { handles: [fixedHandle(OWNER)], session: 'empty password' });
        parameters.sized();
        parameters.sized();
      } catch (fault) {
        if (!(fault instanceof TpmFault)) throw fault;
      }
    },
  },
  pkcs11ModuleTarget(),
  pkcs11ProcessTarget(),
  httpTarget(),
];
