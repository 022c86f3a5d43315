import type { Drill } from './drill.ts';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ronKms } from '../cli/ron-kms.ts';
import { counterOf, DIGEST, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { call, createKey } from '../harness/service.ts';
import { createFaults } from './drill.ts';

const ENV = { KMS_TEST_WORDS: 'otter lantern quartz meadow' };

export const rollbackDrill: Drill = {
  name: 'restore and roll-back',
  does: 'puts an older copy of the disk back, then the true one, then restores a backup and accepts what it loses',
  holds: 'on the older copy nothing is signed or changed, the alarm is up and verify goes on; on the true one all is well; the restored one begins a log that names the old, and what was disabled stays so',
  async run({ home, say, isPlanted }) {
    const faults = createFaults();
    for (const name of ['anchor', 'backups']) mkdirSync(join(home, name));
    writeFileSync(join(home, 'backup.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    const anchored = ['--audit-anchor', 'file', '--audit-anchor-path', join(home, 'anchor', 'anchor.json')];
    const backup = ['--backup-keyfile-path', join(home, 'backup.key')];
    const instance = await initInstance(home, { always: ['--backup-dir', join(home, 'backups'), ...backup, ...anchored] });
    const disk = (name: string, way: 'save' | 'put back'): void => {
      for (const part of ['audit', 'sealed']) {
        const [from, to] = way === 'save' ? [join(home, part), join(home, name, part)] : [join(home, name, part), join(home, part)];
        rmSync(to, { recursive: true, force: true });
        cpSync(from, to, { recursive: true });
      }
    };

    let service = await instance.start();
    const { kid } = await createKey(service, { tenant: 'acme' }, OPERATOR);
    const { kid: held } = await createKey(service, { tenant: 'acme' }, OPERATOR);
    const sign = () => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
    const { body: { sigs } } = await sign();
    const made = await ronKms(['backup', '--json', '--url', service.apiUrl], { cwd: home, env: { RON_KMS_TOKEN: OPERATOR } });
    const file = join(home, 'backups', readdirSync(join(home, 'backups')).find((name) => made.out.includes(name)) ?? '');
    await service.end('SIGTERM');
    disk('older', 'save');
    service = await instance.start();
    await untilReady(service);
    for (let i = 0; i < 3; i++) await call(service, 'POST', `/keys/${encodeURIComponent((kid as string).replace('#v1', ''))}/rotate`, {}, OPERATOR);
    faults.unless((await call(service, 'POST', `/keys/${encodeURIComponent((held as string).replace('#v1', ''))}/disable`, {}, OPERATOR)).status === 200, 'the key was not disabled');
    await service.end('SIGTERM');
    disk('true', 'save');

    say('an older copy is put back');
    disk(isPlanted ? 'true' : 'older', 'put back');
    service = await instance.start();
    const refused = await sign();
    const created = await call(service, 'POST', '/keys', { tenant: 'acme', purpose: 'late' }, OPERATOR);
    const verified = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR);
    const readiness = await readinessOf(service);
    const alarms = await counterOf(service, 'kms_audit_integrity_failed_total') ?? 0;
    faults.unless(refused.status === 503 && created.status === 503, `on an older copy sign was answered ${refused.status}, create ${created.status}`);
    faults.unless(verified.body['ok'] === true, `on an older copy verify was answered ${JSON.stringify(verified.body)}`);
    faults.unless(alarms > 0 && readiness.status === 503, `on an older copy the alarm counts ${alarms}, readiness is ${readiness.status}`);
    await service.end('SIGTERM');

    say('the true one is back');
    disk('true', 'put back');
    service = await instance.start();
    await untilReady(service);
    faults.unless((await sign()).status === 200, 'on the true disk it does not sign');
    await service.end('SIGTERM');

    say('a backup is restored');
    const config = ['--config', join(home, 'kms.toml'), ...backup, ...anchored];
    const unasked = await ronKms(['restore', file, ...config], { cwd: home, env: ENV });
    faults.unless(unasked.code !== 0, 'an older backup was restored though nobody accepted the loss');
    const begun = performance.now();
    const restored = await ronKms(['restore', file, ...config, '--accept-rollback', '--json'], { cwd: home, env: ENV });
    faults.unless(restored.code === 0, `restore ended with ${restored.code}: ${restored.err}`);
    service = await instance.start();
    await untilReady(service);
    const restoreMs = performance.now() - begun;
    const said = JSON.parse(restored.out || '{}') as { replaces?: string };
    faults.unless(said.replaces === instance.origin, `the new log names ${said.replaces}, not ${instance.origin}`);
    faults.unless((await sign()).status === 200, 'restored, it does not sign');
    faults.unless((await call(service, 'GET', `/keys/${encodeURIComponent(held as string)}`, undefined, OPERATOR)).body['state'] === 'disabled', 'restored, what was disabled is not so any more');
    faults.unless((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok'] === true, 'restored, a signature of before does not verify');
    await service.end('SIGTERM');
    return { faults: faults.found, figures: { 'alarms on the older copy': alarms, 'false in /readyz': Object.entries(readiness.conditions).flatMap(([condition, is]) => (is ? [] : [condition])).join(', '), 'restore to ready, ms': Math.round(restoreMs) } };
  },
};
