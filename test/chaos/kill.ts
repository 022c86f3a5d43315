import type { Drill } from './drill.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openLoggedEntries } from '../../src/adapters/audit-check/logged-entries.ts';
import { initInstance, untilReady } from '../harness/file-service.ts';
import { flipBitInJournal } from '../harness/harm.ts';
import { createFaults, median } from './drill.ts';
import { createLoad } from './load.ts';

const ALIVE_MS = { least: 100, more: 1500 };

export const killDrill: Drill = {
  name: 'kill -9',
  does: 'kills the process at any moment under load, again and again',
  holds: 'each start has everything that was answered, versions only go up, no nonce comes twice, and the whole log checks out each time',
  async run({ home, ms, say, isPlanted }) {
    const faults = createFaults();
    const instance = await initInstance(home);
    let service = await instance.start();
    const load = await createLoad(service, faults);
    const readyMs: number[] = [];
    const until = performance.now() + ms;
    let kills = 0;
    do {
      const clients = load.against(service);
      await new Promise((resolve) => { setTimeout(resolve, ALIVE_MS.least + Math.random() * ALIVE_MS.more); });
      await service.end('SIGKILL');
      await clients.stop();
      kills++;
      if (isPlanted) flipBitInJournal(instance.auditDir);
      const { faults: wrong } = await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 });
      for (const fault of wrong) faults.add(`behind kill ${kills}: ${JSON.stringify(fault)}`);
      const begun = performance.now();
      service = await instance.start();
      await untilReady(service, 20_000);
      readyMs.push(performance.now() - begun);
      say(`${kills} kills, ${load.told.signed.size} signatures`);
    } while (performance.now() < until);
    await load.review(service);
    await service.end('SIGTERM');
    const verdict = await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 });
    faults.unless(verdict.ok && verdict.faults.length === 0 && verdict.openIntents === 0, `the whole log: ${JSON.stringify(verdict)}`);
    const log = openLoggedEntries(instance.auditDir);
    const inLog = new Map<number, string>();
    for (const { index, bytes } of log?.read(log.first, log.size) ?? []) inLog.set(index, (JSON.parse(bytes.toString('utf8')) as { op_id: string }).op_id);
    for (const [index, opId] of load.told.signed) faults.unless(inLog.get(index) === opId, `entry ${index} was answered for ${opId}, and is ${inLog.get(index) ?? 'not there'}`);
    return {
      faults: faults.found,
      figures: { kills, answers: load.told.answers, signatures: load.told.signed.size, 'entries checked': verdict.size ?? 0, 'start to ready, ms, median': Math.round(median(readyMs)), 'and at most': Math.round(Math.max(...readyMs)) },
    };
  },
};
