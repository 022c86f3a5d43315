import type { Noted } from '../../src/adapters/audit-log/ledger.ts';
import { describe, expect, test } from 'vitest';
import { createLedger } from '../../src/adapters/audit-log/ledger.ts';

const BASE = 'core/a/ed25519/01890000-0000-7000-8000-000000000001';
const actor = { client_id: 'me', root_key_id: 'root', token_id: 't', via: 'tcp' };
const intent: Noted = {
  op: 'rotate', op_id: 'mine', corr_id: 'c', tenant: 'core', kid: `${BASE}#v1`, alg: 'ed25519', purpose: 'a', input_hash: '00', actor,
  result: 'intent', reason: undefined, generation: undefined,
};
const outcome: Noted = { ...intent, result: 'ok', generation: 1 };

function openAfter(...entries: readonly Noted[]): number {
  const ledger = createLedger();
  for (const [index, entry] of entries.entries()) ledger.note(index, entry);
  return ledger.head().intents.length;
}

describe('an intent is settled', () => {
  test.each([
    ['by its outcome', intent, outcome],
    ['by a failure', intent, { ...outcome, result: 'StoreUnavailable', generation: undefined }],
    ['by the version that it made', intent, { ...outcome, kid: `${BASE}#v2` }],
    ['by the key that it made', { ...intent, op: 'create', kid: undefined }, { ...outcome, op: 'create' }],
  ] as const)('%s', (_what, first, second) => {
    expect(openAfter(first, second)).toBe(0);
  });
});

describe('an intent stays open behind', () => {
  test.each([
    ['another client\'s outcome of the same op_id', { actor: { ...actor, client_id: 'you' } }],
    ['an outcome of the same client under another root key', { actor: { ...actor, root_key_id: 'root2' } }],
    ['an outcome of the same op_id for another key', { kid: BASE.replace(/1$/, '2') }],
    ['an outcome of the same op_id for another tenant', { tenant: 'other' }],
    ['another operation', { op: 'disable' as const }],
    ['another request of the same op_id', { corr_id: 'd' }],
    ['an answer given again', { reason: 'replay' }],
  ])('%s', (_what, differs) => {
    expect(openAfter(intent, { ...outcome, ...differs })).toBe(1);
  });
});

test('two clients that choose the same op_id and correlation id have an intent each', () => {
  const yours = { ...actor, client_id: 'you' };
  expect(openAfter(intent, { ...intent, actor: yours })).toBe(2);
  expect(openAfter(intent, { ...intent, actor: yours }, outcome)).toBe(1);
});
