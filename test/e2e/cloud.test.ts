import type { FileInstance } from '../harness/file-service.ts';
import type { KeyService } from '../harness/key-service.ts';
import type { Moto } from '../harness/moto.ts';
import type { Answer, Serving } from '../harness/service.ts';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { startBefore, startGoogle, startVault, VAULT_TOKEN } from '../harness/key-service.ts';
import { IS_MOTO_HERE, MOTO_MISSING, startMoto } from '../harness/moto.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';

if (!IS_MOTO_HERE) console.warn(MOTO_MISSING);

const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);
const hintOf = ({ body }: Answer): string => (body['error'] as { hint?: string }).hint ?? '';
const GOOGLE_KEYS = ['projects/p/locations/eu/keyRings/r/cryptoKeys/first', 'projects/p/locations/eu/keyRings/r/cryptoKeys/second'] as const;
const AWS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };

const wrap = (service: Serving, kid: string, more: object = {}) => call(service, 'POST', '/wrap', { kid, size: 32, ...more }, OPERATOR);

const unwrap = (service: Serving, wrapped: unknown, more: object = {}) => call(service, 'POST', '/unwrap', { wrapped_b64: wrapped, ...more }, OPERATOR);

interface Provider {
  readonly service: KeyService;
  readonly environment: Readonly<Record<string, string>>;
  readonly init: readonly string[];
  /** Another key there. */
  readonly other: string;
  end(): Promise<void>;
}

interface Row {
  readonly name: string;
  readonly isHere: boolean;
  start(root: string): Promise<Provider>;
}

const providers: readonly Row[] = [
  {
    name: 'vault-transit', isHere: true,
    async start(root) {
      const service = await startVault('first', 'second');
      writeFileSync(join(root, 'vault-token'), `${VAULT_TOKEN}\n`, { mode: 0o600 });
      return { service, environment: {}, init: ['--cloud-provider', 'vault-transit', '--cloud-key', 'first', '--cloud-endpoint', service.url, '--cloud-token-path', join(root, 'vault-token')], other: 'second', end: service.end };
    },
  },
  {
    name: 'google-kms', isHere: true,
    async start(root) {
      const { credentials, ...service } = await startGoogle(root, ...GOOGLE_KEYS);
      return { service, environment: { GOOGLE_APPLICATION_CREDENTIALS: credentials }, init: ['--cloud-provider', 'google-kms', '--cloud-key', GOOGLE_KEYS[0], '--cloud-endpoint', service.url], other: GOOGLE_KEYS[1], end: service.end };
    },
  },
  {
    name: 'aws-kms', isHere: IS_MOTO_HERE,
    async start() {
      const moto: Moto = await startMoto();
      const client = new KMSClient({ region: 'eu-central-1', endpoint: moto.url, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } });
      const [first, second] = await Promise.all([client.send(new CreateKeyCommand()), client.send(new CreateKeyCommand())]);
      client.destroy();
      const service = await startBefore(moto.url);
      return {
        service, environment: AWS, init: ['--cloud-provider', 'aws-kms', '--cloud-key', first.KeyMetadata?.Arn ?? '', '--cloud-endpoint', service.url], other: second.KeyMetadata?.Arn ?? '',
        async end() {
          await service.end();
          await moto.end();
        },
      };
    },
  },
];

for (const { name, isHere, start: startProvider } of providers) {
  describe.skipIf(!isHere)(`service.backend = "cloud" with ${name}`, { timeout: 60_000 }, () => {
    const root = mkdtempSync(join(tmpdir(), 'ron-kms-cloud-'));
    let provider: Provider;
    let instance: FileInstance;
    beforeAll(async () => {
      provider = await startProvider(root);
      instance = await initInstance(root, { init: ['--backend', 'cloud', ...provider.init], environment: provider.environment, always: ['--pq-verify-mode', 'or', '--backends-cloud-deadline', '400ms', '--backends-cloud-wait', '10s'] });
    }, 90_000);
    afterEach(async () => {
      provider.service.be('ok');
      await endInstances();
    });
    afterAll(async () => {
      await provider.end();
      rmSync(root, { recursive: true, force: true });
    });

    const start = async (): Promise<Serving> => {
      const service = await instance.start();
      await untilReady(service);
      return service;
    };

    test('AEAD keys wrap by the service there, each time, and the others lie under a root key that it sealed', async () => {
      let service = await start();
      const aead = await createKey(service, { alg: 'aes-256-gcm', purpose: 'wrap' }, OPERATOR);
      const kem = await createKey(service, { alg: 'x25519+ml-kem', purpose: 'wrap' }, OPERATOR);
      expect([aead, kem].map((key) => key['versions'][0].attestation_class)).toEqual(['cloud', 'cloud-sealed']);
      const calls = provider.service.calls();
      const { body } = await wrap(service, aead['kid'] as string, { aad_b64: 'AAEC' });
      expect(provider.service.calls()).toBe(calls + 1);
      const sealed = (await wrap(service, kem['kid'] as string)).body;
      expect(provider.service.calls()).toBe(calls + 1);
      await service.end('SIGKILL');

      service = await start();
      expect((await unwrap(service, body['wrapped_b64'], { aad_b64: 'AAEC' })).body['plaintext_key_b64']).toBe(body['plaintext_key_b64']);
      expect((await unwrap(service, sealed['wrapped_b64'])).body['plaintext_key_b64']).toBe(sealed['plaintext_key_b64']);
      const rewrapped = (await call(service, 'POST', '/rewrap', { wrapped_b64: body['wrapped_b64'], aad_b64: 'AAEC' }, OPERATOR)).body['wrapped_b64'];
      expect((await unwrap(service, rewrapped, { aad_b64: 'AAEC' })).body['plaintext_key_b64']).toBe(body['plaintext_key_b64']);
      expect(codeOf(await unwrap(service, body['wrapped_b64']))).toBe('400 UnwrapFailed');
      const bytes = Buffer.from(body['wrapped_b64'] as string, 'base64');
      for (const at of [bytes.length - 1, bytes.length - 40]) {
        const spoilt = Buffer.from(bytes);
        spoilt[at] = (spoilt[at] ?? 0) ^ 1;
        expect(codeOf(await unwrap(service, spoilt.toString('base64'), { aad_b64: 'AAEC' }))).toBe('400 UnwrapFailed');
      }
      expect(await service.end('SIGTERM')).toBe(0);
      expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
    });

    test('a key as long as fits opens again, and a longer one is refused, not given out as what nobody can open', async () => {
      const service = await start();
      const { kid } = await createKey(service, { alg: 'chacha20-poly1305', purpose: 'wrap' }, OPERATOR);
      const long = Buffer.alloc(3500, 7).toString('base64');
      const { body } = await call(service, 'POST', '/wrap', { kid, plaintext_key_b64: long }, OPERATOR);
      expect((await unwrap(service, body['wrapped_b64'])).body['plaintext_key_b64']).toBe(long);
      expect(codeOf(await call(service, 'POST', '/wrap', { kid, plaintext_key_b64: Buffer.alloc(4096, 7).toString('base64') }, OPERATOR))).toBe('400 Unsupported');
    });

    test('a version that was destroyed opens nothing more, though the key there would', async () => {
      const service = await start();
      const { kid } = await createKey(service, { alg: 'aes-256-gcm', purpose: 'wrap' }, OPERATOR);
      const { body } = await wrap(service, kid);
      await call(service, 'POST', `/keys/${kid.replace('#', '%23')}/disable`, {}, OPERATOR);
      expect(codeOf(await unwrap(service, body['wrapped_b64']))).toBe('409 KeyState');
    });

    test('in trouble it says how to go on, and everything that does not need it goes on', async () => {
      const service = await start();
      const { kid } = await createKey(service, { alg: 'aes-256-gcm', purpose: 'wrap' }, OPERATOR);
      const { kid: signing } = await createKey(service, {}, OPERATOR);
      const { body } = await wrap(service, kid);

      provider.service.be('busy');
      const busy = await wrap(service, kid);
      expect([codeOf(busy), hintOf(busy)]).toEqual(['503 StoreUnavailable', 'the key service elsewhere has too many calls']);
      expect(Number(busy.headers.get('retry-after'))).toBe(name === 'aws-kms' ? 1 : 7);

      provider.service.be('denied');
      const denied = await unwrap(service, body['wrapped_b64']);
      expect([codeOf(denied), hintOf(denied)]).toEqual(['503 StoreUnavailable', 'the key service elsewhere refuses this service: its operator has to look']);

      for (const mode of ['silent', 'down'] as const) {
        provider.service.be(mode);
        for (let i = 0; i < 4; i++) expect(codeOf(await unwrap(service, body['wrapped_b64'])), mode).toBe('503 StoreUnavailable');
        // After some of them nobody waits for the deadline any more.
        const calls = provider.service.calls();
        expect(codeOf(await unwrap(service, body['wrapped_b64']))).toBe('503 StoreUnavailable');
        expect(provider.service.calls()).toBe(calls);
        expect(codeOf(await call(service, 'POST', '/sign', { kid: signing, payload_b3: DIGEST }, OPERATOR))).toBe('ok');
        const degraded = await fetch(`${service.metricsUrl}/healthz`).then((answer) => answer.text());
        expect(degraded).toContain('does not answer: wraps and unwraps of AEAD keys are refused until it does');
        provider.service.be('ok');
        await eventually('it wraps again', 20_000, async () => codeOf(await wrap(service, kid)) === 'ok');
      }
      expect((await unwrap(service, body['wrapped_b64'])).body['plaintext_key_b64']).toBe(body['plaintext_key_b64']);
      expect((await readinessOf(service)).status).toBe(200);
    });

    test('a start waits for it, and falls back to nothing weaker', async () => {
      provider.service.be('down');
      const asked = provider.service.asked();
      const starting = instance.start();
      await eventually('it asks again and again', 10_000, () => provider.service.asked() > asked + 2);
      provider.service.be('ok');
      const service = await starting;
      await untilReady(service);
      expect(service.log()).toContain('waiting for the key service that opens the root key');
      await service.end('SIGTERM');

      provider.service.be('denied');
      expect(await instance.startRefused()).toMatch(/no permission|look at the key's policy/);
      provider.service.be('silent');
      expect(await instance.startRefused({ flags: ['--backends-cloud-wait', '1s'] })).toMatch(/did not answer within 1 s/);
      provider.service.be('ok');
      expect(await instance.startRefused({ flags: ['--backends-cloud-key', provider.other] })).toMatch(name === 'aws-kms' ? /AccessDeniedException/ : /does not open the root key/);
      expect(await instance.startRefused({ flags: ['--backends-file-seal', 'passphrase', '--backends-file-passphrase-env', 'KMS_TEST_WORDS', '--service-backend', 'file'] })).toMatch(/the root key lies under a cloud/);
    });
  });
}

describe.skipIf(!IS_MOTO_HERE)('AWS KMS', { timeout: 60_000 }, () => {
  test('in the wrong region there is no such key, and the message says where to look', async () => {
    const root = mkdtempSync(join(tmpdir(), 'ron-kms-region-'));
    const moto = await startMoto();
    const client = new KMSClient({ region: 'eu-central-1', endpoint: moto.url, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } });
    const { KeyMetadata } = await client.send(new CreateKeyCommand());
    client.destroy();
    try {
      await expect(initInstance(root, { init: ['--backend', 'cloud', '--cloud-provider', 'aws-kms', '--cloud-key', KeyMetadata?.KeyId ?? '', '--cloud-region', 'eu-west-1', '--cloud-endpoint', moto.url], environment: AWS })).rejects.toThrow(/NotFoundException: look at the key's policy, its state and its region/);
    } finally {
      await moto.end();
      rmSync(root, { recursive: true, force: true });
    }
  });
});
