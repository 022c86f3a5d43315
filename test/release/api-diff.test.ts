import { beforeAll, expect, test } from 'vitest';
import { breakingChanges } from '../../scripts/release/api-diff.ts';
import { currentOpenapi } from '../../scripts/release/openapi.ts';

let api: Record<string, any>;
beforeAll(async () => { api = await currentOpenapi(); });

/** The document with something done to it. */
function changed(change: (document: any) => void): Record<string, any> {
  const copy = structuredClone(api);
  change(copy);
  return copy;
}

const SIGN = '/v1/kms/sign';
const body = (document: any) => document.paths[SIGN].post.requestBody.content['application/json'].schema;
const answer = (document: any) => document.paths[SIGN].post.responses['200'].content['application/json'].schema;

test('nothing that changed breaks nothing', () => {
  expect(Object.keys(api['paths']).length).toBeGreaterThan(20);
  expect(breakingChanges(api, structuredClone(api))).toEqual([]);
});

test.each([
  ['a call that is gone', (document: any) => { delete document.paths[SIGN]; }, `POST ${SIGN} is gone`],
  ['a field of a request that is gone', (document: any) => { delete body(document).properties.context_b64; }, /body\.context_b64 is gone/],
  ['a field of a request that is needed', (document: any) => { body(document).required = [...body(document).required ?? [], 'op_id']; }, /body\.op_id is needed now/],
  ['a limit that is tighter', (document: any) => { body(document).properties.kid.maxLength = 10; }, /maxLength was \S+ and is 10/],
  ['another pattern', (document: any) => { body(document).properties.payload_b3.pattern = '^x$'; }, /payload_b3 has another pattern/],
  ['a field of an answer that is gone', (document: any) => { delete answer(document).properties.payload_b3; }, /200\.payload_b3 is gone/],
  ['a field of an answer that may be left out', (document: any) => { answer(document).required = answer(document).required.filter((name: string) => name !== 'audit'); }, /200\.audit may be left out now/],
  ['a field of another type', (document: any) => { answer(document).properties.kid.type = 'integer'; }, /200\.kid was string and is integer/],
] as const)('%s is found', (_name, change, says) => {
  expect(breakingChanges(api, changed(change)).join('\n')).toMatch(says);
});

test.each([
  ['a new call', (document: any) => { document.paths['/v1/kms/new'] = document.paths[SIGN]; }],
  ['a new field of a request that may be left out', (document: any) => { body(document).properties.more = { type: 'string' }; }],
  ['a new field of an answer', (document: any) => { answer(document).properties.more = { type: 'string' }; answer(document).required.push('more'); }],
] as const)('%s breaks nothing', (_name, change) => {
  expect(breakingChanges(api, changed(change))).toEqual([]);
});
