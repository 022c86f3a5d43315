import type { Drill } from './drill.ts';
import { spawnSync } from 'node:child_process';
import { DIGEST, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { makeFaultyModule } from '../harness/faulty-module.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';
import { createFaults } from './drill.ts';

const TROUBLES = ['device-error', 'session-stolen', 'segfault', 'hang'] as const;

export const backendDrill: Drill = {
  name: 'backend outage',
  does: 'breaks the module of the PKCS #11 token in every way it can break, and mends it',
  holds: 'sign is 503 with Retry-After (or 504 while the first calls wait), verify goes on and says how old its keys are, readiness names the backend, and all comes back by itself',
  missing: SOFTHSM_MODULE === undefined ? SOFTHSM_MISSING : spawnSync('cc', ['--version']).error === undefined ? undefined : 'SKIPPED: the module that breaks on demand. It needs a C compiler (apt-get install gcc libc6-dev)',
  async run({ home, say, isPlanted }) {
    const faults = createFaults();
    const soft = makeSoftToken();
    const faulty = makeFaultyModule(soft.modulePath);
    try {
      const instance = await initInstance(home, { init: ['--backend', 'pkcs11', '--module-path', faulty.modulePath, '--slot-label', LABEL, '--pin-env', 'KMS_PIN'], environment: { ...soft.env, ...faulty.env, KMS_PIN: PIN } });
      const service = await instance.start();
      await untilReady(service, 20_000);
      const { kid } = await createKey(service, { tenant: 'acme' }, OPERATOR);
      const sign = () => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
      const { body: { sigs } } = await sign();
      const figures: Record<string, number> = {};
      for (const trouble of TROUBLES) {
        faulty.be(isPlanted ? 'well' : trouble);
        const begun = performance.now();
        const answers = await Promise.all(Array.from({ length: 16 }, sign));
        for (const { status, headers } of answers) {
          faults.unless(status === 503 || status === 504, `${trouble}: sign was answered ${status}`);
          faults.unless(status !== 503 || Number(headers.get('retry-after')) >= 1, `${trouble}: 503 without Retry-After`);
        }
        if (isPlanted) break;
        await eventually(`${trouble} is seen`, 15_000, async () => (await readinessOf(service)).conditions['backend_ready'] === false);
        figures[`${trouble}: seen after, ms`] = Math.round(performance.now() - begun);
        const { body: verified } = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR);
        faults.unless(verified['ok'] === true && Number(verified['cache_age_ms']) >= 0, `${trouble}: verify answered ${JSON.stringify(verified)}`);
        faulty.be('well');
        const mended = performance.now();
        await untilReady(service, 40_000);
        faults.unless((await sign()).status === 200, `${trouble}: it does not sign when it is back`);
        figures[`${trouble}: back after, ms`] = Math.round(performance.now() - mended);
        say(trouble);
      }
      faults.unless(await service.end('SIGTERM') === 0, 'it did not stop in order');
      return { figures, faults: faults.found };
    } finally {
      faulty.drop();
      soft.drop();
    }
  },
};
