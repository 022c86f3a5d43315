import type { Drill } from './drill.ts';
import { createClient, createVerifier } from '../../client/src/index.ts';
import { initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { call, createKey } from '../harness/service.ts';
import { createFaults, median } from './drill.ts';
import { createLoad } from './load.ts';

const RESTARTS_LEAST = 3;

export const restartDrill: Drill = {
  name: 'restart under load',
  does: 'stops the service in order under load and starts it at the same address, again and again, while a client verifies with the keys it has learned',
  holds: 'every stop ends with code 0, no verification fails or is wrong, each answer from the cache says how old it is, and everything answered is there',
  async run({ home, ms, say, isPlanted }) {
    const faults = createFaults();
    const instance = await initInstance(home);
    let service = await instance.start();
    const address = new URL(service.apiUrl).host;
    const load = await createLoad(service, faults);
    const { kid } = await createKey(service, { tenant: 'acme' }, OPERATOR);
    const { body: { payload_b3, sigs } } = await call(service, 'POST', '/sign', { kid, payload_b64: 'AAAA' }, OPERATOR);
    const verifier = createVerifier(createClient({ url: service.apiUrl, token: OPERATOR }));
    await verifier.learn([kid as string]);
    const is = { over: false };
    const verified = { all: 0, cached: 0 };
    const verifying = (async () => {
      while (!is.over) {
        const answer = await verifier.verify({ kid, payload_b3, sigs }).catch((fault: unknown) => String(fault));
        verified.all++;
        if (typeof answer === 'string' || !answer.ok) faults.add(`a verification ended with ${JSON.stringify(answer)}`);
        else if (answer.cache_age_ms !== undefined) verified.cached++;
        await new Promise((resolve) => { setTimeout(resolve, 2); });
      }
    })();
    const outMs: number[] = [];
    const until = performance.now() + ms;
    for (let restarts = 1; restarts <= RESTARTS_LEAST || performance.now() < until; restarts++) {
      const clients = load.against(service);
      await new Promise((resolve) => { setTimeout(resolve, 700); });
      const begun = performance.now();
      const code = await service.end(isPlanted ? 'SIGKILL' : 'SIGTERM');
      faults.unless(code === 0, `stop ${restarts} ended with code ${code}`);
      await clients.stop();
      service = await instance.start({ flags: ['--bind-addr', address] });
      await untilReady(service);
      outMs.push(performance.now() - begun);
      say(`${restarts} restarts, ${verified.all} verifications`);
    }
    is.over = true;
    await verifying;
    await load.review(service);
    faults.unless(verified.cached > 0, 'no verification was answered while the service was away');
    await service.end('SIGTERM');
    return {
      faults: faults.found,
      figures: { restarts: outMs.length, 'signatures answered': load.told.signed.size, verifications: verified.all, 'of them without the service': verified.cached, 'stop to ready, ms, median': Math.round(median(outMs)), 'and at most': Math.round(Math.max(...outMs)) },
    };
  },
};
