import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { algNames } from '../../src/core/algorithm/table.ts';
import { Secret } from '../../src/core/secret.ts';
import { deriveMacaroonKey } from '../../src/core/macaroon/chain.ts';
import { disguisesOf, findAny } from '../harness/disguises.ts';
import { call, ROOT_SECRET, tokenOf } from '../harness/service.ts';
import { entriesFrom } from '../harness/entries.ts';
import { recordingSeeds } from '../harness/recorded-seeds.ts';
import { startWired } from '../harness/wired.ts';
import type { Wired } from '../harness/wired.ts';

/** Copies of every private seed that custody made, taken on the way into the primitives. */
const seeds: Buffer[] = [];

describe('known secret bytes show up nowhere', () => {
  let wired: Wired;
  let answers = '';
  const dataKey = Buffer.from('a data key that nobody must see!');

  const say = async (method: string, path: string, body?: unknown, token?: string) => {
    const answer = await call(wired, method, path, body, token);
    if (!path.includes('unwrap')) answers += `${JSON.stringify([...answer.headers])}${JSON.stringify(answer.body)}\n`;
    return answer.body;
  };

  beforeAll(async () => {
    wired = await startWired({ watch: (primitives) => recordingSeeds(primitives, seeds) });
    for (const alg of algNames) {
      const { kid } = await say('POST', '/keys', { tenant: 'core', purpose: 'canary', alg });
      const { sigs } = await say('POST', '/sign', { kid, payload_b64: 'AAAA' });
      await say('POST', '/verify', { kid, payload_b64: 'AAAA', sigs: sigs ?? [{ alg: 'ed25519', signature_b64: '' }] });
      const wrapped = await say('POST', '/wrap', { kid, plaintext_key_b64: dataKey.toString('base64') });
      await say('POST', '/unwrap', { wrapped_b64: wrapped['wrapped_b64'] ?? 'AAAA' });
      await say('POST', '/rewrap', { wrapped_b64: wrapped['wrapped_b64'] ?? 'AAAA' });
      await say('POST', `/keys/${encodeURIComponent(kid)}/rotate`, {});
      await say('GET', `/keys/${encodeURIComponent(kid)}`);
      await say('GET', `/keys/${encodeURIComponent(kid)}/private`);
      await say('POST', `/keys/${encodeURIComponent(kid)}/destroy`, {});
    }
    await say('GET', '/token');
    await say('GET', '/keys');
    await say('POST', '/sign', { kid: 'nonsense', payload_b64: dataKey.toString('base64') });
    await say('POST', '/sign', { kid: 'nonsense' }, `${tokenOf()}x`);
  });
  afterAll(async () => { await wired.stop(); });

  test('the watch itself works: seeds were seen, and a planted one is found in every disguise', () => {
    expect(seeds.length).toBeGreaterThan(12);
    for (const seed of seeds.slice(0, 3)) {
      for (const planted of disguisesOf(seed)) expect(findAny(`before ${planted} after`, [seed])).not.toEqual([]);
      expect(findAny(`{"x":"${Buffer.concat([Buffer.from('ab'), seed]).toString('base64')}"}`, [seed])).not.toEqual([]);
    }
  });

  test('private seeds, data keys and macaroon keys are in no answer', () => {
    expect(answers.length).toBeGreaterThan(10_000);
    expect(findAny(answers, [...seeds, dataKey, ROOT_SECRET, deriveMacaroonKey(ROOT_SECRET)])).toEqual([]);
  });

  test('nor in the log, the metrics or the audit entries; tokens and payloads are not there either', async () => {
    const entries = JSON.stringify(await entriesFrom(wired.audit));
    const written = [wired.log(), await wired.metrics(), entries];
    expect(wired.audit.size()).toBeGreaterThan(50);
    for (const text of written) {
      expect(text.length).toBeGreaterThan(500);
      expect(findAny(text, [...seeds, dataKey, ROOT_SECRET, deriveMacaroonKey(ROOT_SECRET)])).toEqual([]);
      expect(text).not.toContain(tokenOf().slice(0, 40));
    }
  });
});

describe('a Secret', () => {
  const bytes = Buffer.from('0123456789abcdef0123456789abcdef');
  const forms: Readonly<Record<string, (secret: Secret) => string>> = {
    'as a string': (secret) => String(secret),
    'in a template': (secret) => `<${secret as unknown as string}>`,
    'as JSON': (secret) => JSON.stringify({ secret }),
    'inspected': (secret) => inspect(secret, { depth: 10, showHidden: true }),
    'spread': (secret) => JSON.stringify({ ...(secret as unknown as object) }),
    'cloned': (secret) => { try { return JSON.stringify(structuredClone(secret)); } catch { return ''; } },
    'in an error': (secret) => String(new Error('x', { cause: secret }).stack),
  };

  test.each(Object.entries(forms))('gives nothing away %s', (_name, form) => {
    const shown = form(new Secret(Buffer.from(bytes)));
    expect(findAny(shown, [bytes])).toEqual([]);
    expect(shown).not.toContain('0123456789abcdef');
  });

  test('is zeroed when it is destroyed, and cannot be read any more', () => {
    const kept = Buffer.from(bytes);
    const secret = new Secret(kept);
    secret.destroy();
    expect(kept.every((byte) => byte === 0)).toBe(true);
    expect(() => secret.read(Symbol('not the token') as never)).toThrow('destroyed');
  });
});
