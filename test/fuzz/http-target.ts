import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { RawAnswer } from '../harness/raw-http.ts';
import type { Wired } from '../harness/wired.ts';
import type { OpenapiDocument } from './call-edits.ts';
import type { FuzzTarget } from './engine.ts';
import assert from 'node:assert';
import { Ajv } from 'ajv';
import { algNames } from '../../src/core/algorithm/table.ts';
import { errorTable } from '../../src/core/errors.ts';
import { deriveMacaroonKey } from '../../src/core/macaroon/chain.ts';
import { disguisesOf } from '../harness/disguises.ts';
import { rawRequest, sendRaw } from '../harness/raw-http.ts';
import { recordingSeeds } from '../harness/recorded-seeds.ts';
import { CANARY, faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, everything, ROOT_SECRET, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';
import { callEdits, headAndBody } from './call-edits.ts';
import { KEY_MARKS, SIGNATURE_MARK, WRAPPED_MARK } from './grow.ts';

/** Then its keys have piled up: another one is begun. */
const RUNS_PER_SERVER = 1000;
const ANSWERED_WITHIN_MS = 5000;
const ALLOWED = Object.keys(errorTable).filter((code) => code !== 'Internal');
const HEAD = /^(GET|POST|PATCH|PUT|DELETE) (\S*)(?: (gzip|br|zstd))?$/;

const UNDONE: Readonly<Record<string, string>> = { disable: 'enable', destroy: 'restore' };

interface Server {
  readonly wired: Wired;
  readonly token: string;
  readonly document: OpenapiDocument;
  /** By the mark that stands for it in an input. */
  readonly marks: ReadonlyMap<string, string>;
  /** What no answer may have in it. */
  readonly secrets: readonly string[];
}

/**
 * Calls to the real server, over a real socket, in this process. An input is the line `METHOD path [coding]`, below the base
 * path, and a body; marks in both stand for what the server made: its keys, a signature, a wrapped key. `watch` may break it.
 */
export function httpTarget(watch: (primitives: Primitives) => Primitives = (primitives) => primitives): FuzzTarget {
  let server: Server | undefined;
  let runs = 0;
  const uncaught: unknown[] = [];
  const onUncaught = (fault: unknown): void => { uncaught.push(fault); };
  const end = async (): Promise<void> => {
    await server?.wired.stop();
    server = undefined;
    runs = 0;
    process.off('uncaughtException', onUncaught);
  };
  const begin = async (): Promise<Server> => {
    process.on('uncaughtException', onUncaught);
    return server = await startServer(watch);
  };

  return {
    name: 'http', share: 8, end,
    seeds: SEEDS.map((text) => Buffer.from(text)),
    words: [...KEY_MARKS, SIGNATURE_MARK, WRAPPED_MARK, CANARY, '#v1', '%23v1', '"kid":', '"op_id":"op1"', '/keys/', '/audit/', '?limit=', ' gzip'],
    edits: callEdits(() => server?.document ?? { paths: {} }),
    async run(input) {
      if (runs++ >= RUNS_PER_SERVER) await end();
      const { wired: { apiUrl }, token, document, marks, secrets } = server ?? await begin();
      const [head, body] = headAndBody(input);
      const [, method = 'POST', path = head, coding] = HEAD.exec(head) ?? [];
      const bytes = Buffer.from(withMarks(body.toString('latin1'), marks), 'latin1');
      const request = rawRequest({
        method, path: withMarks(path, marks, encodeURIComponent), token, body: bytes,
        headers: coding === undefined ? {} : { 'content-encoding': coding },
      });
      const answer = await sendRaw(apiUrl, request, { withinMs: ANSWERED_WITHIN_MS });
      assert.ok(!secrets.some((secret) => answer.text.includes(secret)), 'a secret is in the answer');
      if (answer.status >= 200 && answer.status < 300) assertInSchema(document, method, path, answer);
      else assert.deepStrictEqual(faultsOfRefusal({ status: answer.status, text: answer.text, header: (name) => answer.headers.get(name) }, ALLOWED), []);
      // A key that is out would end most of what comes behind it.
      const [, key, verb = ''] = /^(.+)\/(disable|destroy)$/.exec(path) ?? [];
      if (key !== undefined && answer.status === 200) await sendRaw(apiUrl, rawRequest({ path: `${withMarks(key, marks, encodeURIComponent)}/${UNDONE[verb]}`, token, body: '{}' }));
      const after = await sendRaw(apiUrl, rawRequest({ method: 'GET', path: '/token', token }), { withinMs: ANSWERED_WITHIN_MS });
      assert.strictEqual(after.status, 200, 'the server is there behind it');
      if (uncaught.length > 0) throw uncaught.splice(0)[0];
    },
  };
}

async function startServer(watch: (primitives: Primitives) => Primitives): Promise<Server> {
  const seeds: Buffer[] = [];
  const wired = await startWired({ watch: (primitives) => watch(recordingSeeds(primitives, seeds)) });
  const token = tokenOf({ caveats: everything('*') });
  const document = await (await fetch(`${wired.apiUrl}/openapi.json`)).json() as OpenapiDocument;
  const marks = new Map<string, string>();
  for (const [i, mark] of KEY_MARKS.entries()) {
    const alg = algNames[i];
    // Behind one of each, those that sign what they are given.
    const { kid } = await createKey(wired, alg === undefined ? { alg: 'ed25519', input: 'raw' } : { alg }, token);
    marks.set(mark, String(kid).replace(/#v1$/, ''));
  }
  const kidOf = (alg: string): string => [...marks.values()].find((kid) => kid.split('/')[2] === alg) ?? '';
  const signed = await call(wired, 'POST', '/sign', { kid: kidOf('ed25519'), payload_b64: '' }, token);
  const wrapped = await call(wired, 'POST', '/wrap', { kid: kidOf('aes-256-gcm'), size: 32 }, token);
  marks.set(SIGNATURE_MARK, signed.body['sigs'][0].signature_b64);
  marks.set(WRAPPED_MARK, wrapped.body['wrapped_b64']);
  const secrets = [...seeds, ROOT_SECRET, deriveMacaroonKey(ROOT_SECRET)].flatMap(disguisesOf);
  return { wired, token, document, marks, secrets: [...secrets, token] };
}

function withMarks(text: string, marks: ReadonlyMap<string, string>, write: (value: string) => string = (value) => value): string {
  return text.replace(/@[A-Za-z]/g, (mark) => write(marks.get(mark) ?? mark));
}

const ajv = new Ajv({ strict: false });

function assertInSchema({ paths }: OpenapiDocument, method: string, path: string, { status, headers, text }: RawAnswer): void {
  if (path.startsWith('/openapi.json')) return;
  const template = Object.keys(paths).filter((one) => new RegExp(`^${one.replace('{tile}', '.+').replace('{kid}', '[^/]+(/[^/]+){0,3}').replace('{index}', '[^/]+')}$`).test(`/v1/kms${path.split('?')[0]}`));
  const known = template.map((one) => paths[one]?.[method.toLowerCase()]?.responses[status]?.content).filter((content) => content !== undefined);
  const type = headers.get('content-type') ?? '';
  const fitting = known.some((content) => {
    const schema = Object.entries(content).find(([name]) => type.replaceAll(' ', '').startsWith(name.replaceAll(' ', '')))?.[1].schema;
    return !type.startsWith('application/json') ? type in content : schema !== undefined && ajv.validate(schema, JSON.parse(text));
  });
  assert.ok(fitting, `an answer ${status} of ${type} that /openapi.json does not know: ${ajv.errorsText()}`);
}

const SEEDS: readonly string[] = [
  'POST /keys\n{"tenant":"core","purpose":"audit","alg":"ed25519","labels":{"a":"b"},"rotate_after":"7d","policy_hints":{"a":1},"op_id":"op1"}',
  'POST /keys\n{"tenant":"core","purpose":"wrap"}', 'GET /keys?tenant=core&limit=2\n', 'GET /keys/@a\n', 'PATCH /keys/@a\n{"labels":{"c":"d"},"rotate_after":null}',
  ...['rotate', 'disable', 'enable', 'destroy', 'restore'].map((verb) => `POST /keys/@b/${verb}\n{"op_id":"op2"}`), 'POST /keys/@c/destroy\n{"after":"30d"}',
  ...KEY_MARKS.flatMap((mark) => [`POST /sign\n{"kid":"${mark}","payload_b64":"YQ=="}`, `POST /wrap\n{"kid":"${mark}","size":32,"aad_b64":"YQ=="}`]),
  'POST /sign\n{"kid":"@b","payload_b64":"YQ==","context_b64":"YQ==","policy":{"produce_hybrid":true},"attest":true}',
  'POST /verify\n{"kid":"@a","payload_b64":"","sigs":[{"alg":"ed25519","signature_b64":"@S"}],"policy":{"mode":"or"}}',
  'POST /verify\n{"kid_set":["@a","@b#v1"],"payload_b64":"","sigs":[{"alg":"ed25519","signature_b64":"@S"}]}',
  'POST /sign/batch\n{"items":[{"kid":"@a","payload_b64":"YQ=="},{"kid":"@b","payload_b64":"YQ=="}]}',
  'POST /verify/batch\n{"items":[{"kid":"@a","payload_b64":"","sigs":[{"alg":"ed25519","signature_b64":"@S"}]}]}',
  'POST /unwrap\n{"wrapped_b64":"@W"}', 'POST /rewrap\n{"wrapped_b64":"@W"}', 'GET /token\n', 'GET /audit/checkpoint\n', 'GET /audit/keys\n', 'GET /audit/tile/0/000.p/3\n',
  'GET /audit/tile/entries/000.p/3\n', 'GET /audit/receipts/1\n', 'GET /audit/records?limit=3&op=sign&result=ok\n', 'POST /admin/log-keys\n{"compromised":false}', 'POST /admin/rekey\n{}',
  'GET /admin/rekey\n', 'POST /admin/backup\n{}', 'GET /admin/backup\n', 'POST /admin/reload\n{}', 'POST /admin/accept-clock\n{}', 'GET /keys/@a/private\n', 'POST /keys/@a/export\n{}', 'POST /sign gzip\nnot gzip',
];
