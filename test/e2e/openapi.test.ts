import type { TestService } from '../harness/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorTable } from '../../src/core/errors.ts';
import { startService } from '../harness/service.ts';

let service: TestService;
let document: Record<string, any>;
beforeAll(async () => {
  service = await startService();
  document = await (await fetch(`${service.apiUrl}/openapi.json`)).json() as typeof document;
});
afterAll(async () => { await service.stop(); });

const statusesOf = (path: string, method: string): readonly string[] => Object.keys(document['paths'][`/v1/kms${path}`][method].responses);

test('/openapi.json says with which statuses a call is refused, and nothing by default', () => {
  expect(statusesOf('/sign', 'post')).toEqual(['200', '400', '401', '403', '404', '408', '409', '413', '429', '431', '500', '503', '504']);
  // Without a body there is none that is too large, and nothing changes.
  expect(statusesOf('/token', 'get')).toEqual(['200', '400', '401', '403', '404', '408', '429', '431', '500', '503', '504']);
});

test('each of them with its codes of the table, in the envelope', () => {
  for (const [code, { statuses }] of Object.entries(errorTable)) {
    for (const status of statuses) {
      const { $ref } = document['paths']['/v1/kms/sign'].post.responses[status];
      const { description, content } = document['components'].responses[$ref.split('/').at(-1)];
      expect(description.split(', ')).toContain(code);
      expect(content).toEqual({ 'application/json': { schema: { $ref: '#/components/schemas/Error' } } });
    }
  }
});

test('private keys never leave: nothing but refusals is said of these paths', () => {
  for (const path of ['/keys/{kid}/private', '/keys/{kid}/export']) expect(statusesOf(path, 'get').filter((status) => Number(status) < 400)).toEqual([]);
});
