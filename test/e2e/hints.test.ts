import type { Answer, TestService } from '../harness/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { forge, toToken } from '../harness/macaroon-bytes.ts';
import { call, createKey, everything, inFuture, startService, tokenOf } from '../harness/service.ts';

/** A refusal says what to do next: its hint names the field, the setting or the caveat that stands against it. */
const DIGEST = 'ab'.repeat(32);
let service: TestService;
let kids: Readonly<Record<'ed25519' | 'hybrid' | 'kem' | 'aead' | 'disabled', string>>;
beforeAll(async () => {
  service = await startService({ toml: '[tenants.slow.quotas]\nrps = 1\n[tenants.small.quotas]\nkeys = 1\n[tenants.attested]\nattest_require = "required"\n' });
  const make = async (alg: string, tenant = 'core'): Promise<string> => (await createKey(service, { alg, tenant, purpose: 'p' }, tokenOf({ caveats: everything('*') })))['kid'] as string;
  const disabled = await make('ed25519');
  await send(`/keys/${encodeURIComponent(disabled)}/disable`, {});
  kids = { ed25519: await make('ed25519'), hybrid: await make('ed25519+ml-dsa'), kem: await make('x25519'), aead: await make('aes-256-gcm'), disabled };
});
afterAll(async () => { await service.stop(); });

const send = (path: string, body: object, token = tokenOf()): Promise<Answer> => call(service, 'POST', path, body, token);
const sign = (kid: string, more: object = {}, token?: string): Promise<Answer> => send('/sign', { kid, payload_b3: DIGEST, ...more }, token);
const look = (path: string, ...caveats: readonly string[]): Promise<Answer> => call(service, 'GET', path, undefined, tokenOf({ caveats }));
const all = everything('core').slice(0, 2);
const soon = `expires = ${inFuture(60_000)}`;
const sigs = [{ alg: 'ed25519', signature_b64: Buffer.alloc(64).toString('base64') }];
/** The second of two. */
const again = async (one: () => Promise<Answer>): Promise<Answer> => {
  await one();
  return one();
};

test.each<[string, () => Promise<Answer>, string]>([
  ['no token', async () => {
    const response = await fetch(`${service.apiUrl}/v1/kms/token`);
    return { status: response.status, headers: response.headers, body: await response.json() as Record<string, any> };
  }, '401 NoCapability: send a capability token: Authorization: Bearer <macaroon>'],
  ['a token that is none', () => send('/sign', {}, 'nonsense'), '401 NoCapability: the token cannot be decoded'],
  ['a third-party caveat', () => {
    const signature = forge({ caveats: [...all, soon, 'tenant = core'] }).subarray(-32);
    return send('/sign', {}, toToken(forge({ caveats: [...all, soon, { id: 'tenant = core', verificationId: Buffer.alloc(48, 1) }], signature })));
  }, '401 NoCapability: third-party caveats are not accepted'],
  ['a caveat that nobody knows', () => look('/token', ...all, soon, 'colour = red'), '403 NoCapability: the token has an unknown or malformed caveat'],
  ['a token without an end', () => look('/token', ...all), '403 NoCapability: the token has no expiry'],
  ['a token that is over', () => look('/token', ...all, `expires = ${inFuture(-60_000)}`), '401 NoCapability: the token has expired'],
  ['a token before its time', () => look('/token', ...all, soon, `not-before = ${inFuture(30_000)}`), '401 NoCapability: the token is not yet valid'],
  ['a token for years', () => look('/token', ...all, 'expires = 2099-01-01T00:00:00Z'), '403 NoCapability: the token lives longer than auth.max_token_lifetime'],
  ['a token for elsewhere', () => look('/token', ...all, soon, 'peer = 10.0.0.0/8'), '403 NoCapability: the token is not for this peer address'],
  ['a token for a certificate', () => look('/token', ...all, soon, `mtls = sha256:${'ab'.repeat(32)}`), '403 NoCapability: the token is for a client certificate, and this connection has none'],
  ['a scope that it lacks', () => sign(kids.ed25519, {}, tokenOf({ caveats: ['scope = kms:verify', 'tenant = core', soon] })), '403 NoCapability: the token lacks the scope for this call'],
  ['a tenant that it is not for', () => sign(kids.ed25519, {}, tokenOf({ caveats: everything('other') })), '403 NoCapability: the caveats of the token do not admit this'],
  ['a version that it is not for', () => look(`/keys/${encodeURIComponent(kids.ed25519)}`, ...all, soon, `kid = ${kids.ed25519.replace('#v1', '#v2')}`), '403 NoCapability: the caveats of the token do not admit this'],
  ['an rps caveat', () => again(() => sign(kids.ed25519, {}, tokenOf({ caveats: [...all, soon, 'rps = 1'], tokenId: 'slow' }))), '429 Backpressure: the rps caveat of the token is used up'],
  ['a quota of operations', () => again(() => send('/keys', { tenant: 'slow', purpose: 'p' }, tokenOf({ caveats: everything('slow') }))), '429 QuotaExceeded: quotas.rps of this tenant is used up'],
  ['a quota of keys', () => again(() => send('/keys', { tenant: 'small', purpose: 'p' }, tokenOf({ caveats: everything('small') }))), '429 QuotaExceeded: the tenant has quotas.keys keys, destroyed ones among them; whoever runs the service may allow more'],
  ['a parameter set that is none', () => send('/keys', { tenant: 'core', purpose: 'p', alg: 'ed25519', parameter_set: 'ML-DSA-65' }), '400 Unsupported: the algorithm has no such parameter_set'],
  ['an op_id of something else', async () => {
    await send('/keys', { tenant: 'core', purpose: 'p', op_id: 'once' });
    return send('/keys', { tenant: 'core', purpose: 'q', op_id: 'once' });
  }, '409 Conflict: use a new op_id for a new request'],
  ['a version that is held', () => sign(kids.disabled), '409 KeyState: this version is disabled'],
  ['a key of which nothing verifies', () => send('/verify', { kid: kids.disabled, payload_b3: DIGEST, sigs }), '409 KeyState: no version of this key may verify'],
  ['a key of which nothing is enabled', () => send(`/keys/${encodeURIComponent(kids.disabled)}/rotate`, {}), '409 KeyState: no version of this key is enabled'],
  ['a step that does not fit', () => send(`/keys/${encodeURIComponent(kids.ed25519)}/restore`, {}), '409 KeyState: no version in question can be changed by restore'],
  ['an end too soon', () => send(`/keys/${encodeURIComponent(kids.ed25519)}/destroy`, { after: '1s' }), '400 BadRequest: after is at least keys.destroy_min_after, at most 3650d'],
  ['an end too far', () => send(`/keys/${encodeURIComponent(kids.ed25519)}/destroy`, { after: '3651d' }), '400 BadRequest: after is at least keys.destroy_min_after, at most 3650d'],
  ['a key that does not sign', () => sign(kids.kem), '400 Unsupported: this key does not sign'],
  ['nor verify', () => send('/verify', { kid: kids.kem, payload_b3: DIGEST, sigs }), '400 Unsupported: this key does not sign'],
  ['a context without a place', () => sign(kids.ed25519, { context_b64: 'AAAA' }), '400 Unsupported: context_b64 is for ml-dsa and the composite only'],
  ['the same of a verify', () => send('/verify', { kid: kids.ed25519, payload_b3: DIGEST, sigs, context_b64: 'AAAA' }), '400 Unsupported: context_b64 is for ml-dsa and the composite only'],
  ['a hybrid of one algorithm', () => sign(kids.ed25519, { policy: { produce_hybrid: true } }), '400 Unsupported: this key has one algorithm and cannot produce a hybrid'],
  ['a signature of an algorithm that the key has not', () => send('/verify', { kid: kids.ed25519, payload_b3: DIGEST, sigs: [{ ...sigs[0], alg: 'ml-dsa' }] }), '400 Unsupported: the key has no such alg or parameter_set'],
  ['evidence that there is none of', () => send('/keys', { tenant: 'attested', purpose: 'p' }, tokenOf({ caveats: everything('attested') })).then(({ body }) => sign(body['kid'], {}, tokenOf({ caveats: everything('attested') }))), '403 AttestationMissing: security.attest_require, the tenant\'s attest_require or the policy asks for evidence, and there is none of how this version is held'],
  ['a key that does not wrap', () => send('/wrap', { kid: kids.ed25519, size: 32 }), '400 Unsupported: this key does not wrap'],
  ['a nonce for a key that takes none', () => send('/wrap', { kid: kids.kem, size: 32, nonce_b64: Buffer.alloc(12, 1).toString('base64') }), '400 Unsupported: nonce_b64 is for AEAD keys only'],
  ['a nonce again', () => again(() => send('/wrap', { kid: kids.aead, size: 32, nonce_b64: Buffer.alloc(12).fill(1, 11).toString('base64') })), '409 NonceReuse: leave nonce_b64 out to get the next one'],
  ['an entry that is not there', () => look('/audit/receipts/999999', 'scope = kms:audit', 'tenant = core', soon), '404 NotFound: the log has no such entry, or does not keep it any more'],
  ['an entry of somebody else', () => look('/audit/receipts/0', ...all.with(0, 'scope = kms:sign'), soon), '403 NoCapability: the entry is not of this client, or not inside the caveats of the token'],
])('%s', async (_, refused, said) => {
  const { status, body } = await refused();
  expect(`${status} ${body['error']?.code}: ${body['error']?.hint}`).toBe(said);
});
