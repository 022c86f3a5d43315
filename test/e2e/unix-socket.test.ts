import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ronKms } from '../cli/ron-kms.ts';
import { everything, startService, tokenOf } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-uds-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('SKIPPED: peers of other users on the Unix socket; becoming another user needs root');

function ask(socketPath: string, method: string, path: string, body?: object, token = tokenOf({ caveats: everything('core') })): Promise<{ readonly status: number; readonly body: any }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path: `/v1/kms${path}`, headers: { authorization: `Bearer ${token}`, host: 'kms', ...(body !== undefined && { 'content-type': 'application/json' }) } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

describe('the Unix socket', () => {
  test('is for its owner alone, wants a token all the same, and its user is in the log', async () => {
    const path = join(root, 'run/kms/api.sock');
    const service = await startService({ flags: ['--uds-path', path] });
    try {
      expect([statSync(path).mode & 0o777, statSync(join(root, 'run/kms')).mode & 0o777]).toEqual([0o600, 0o700]);
      expect((await ask(path, 'POST', '/keys', { tenant: 'core', purpose: 'a' })).status).toBe(201);
      expect((await ask(path, 'GET', '/token', undefined, 'AAAA')).status).toBe(401);
      expect((await ask(path, 'GET', '/token', undefined, tokenOf({ caveats: [...everything('core'), 'peer = 127.0.0.0/8'] })))).toMatchObject({ status: 403, body: { error: { hint: expect.stringContaining('peer address') } } });
      const { body: { records } } = await ask(path, 'GET', '/audit/records?op=create&result=ok');
      expect(records[0].entry.actor).toMatchObject({ via: `uds:${process.getuid?.()}` });
      expect(records[0].entry.actor.peer).toBeUndefined();
      // The same keys over TCP.
      const { body } = await ask(path, 'GET', '/keys');
      expect(body.keys).toHaveLength(1);
    } finally {
      await service.stop();
    }
    expect(existsSync(path)).toBe(false);
  });

  test.runIf(isRoot)('lets nobody else in, whatever token they have', async () => {
    const path = join(root, 'listed/api.sock');
    const service = await startService({ flags: ['--uds-path', path, '--uds-allow-uids', '4711', '--uds-allow-gids', '815'] });
    const program = `const s=require('net').connect(${JSON.stringify(path)},()=>s.write('GET /v1/kms/token HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'));s.on('data',d=>{console.log('answered',String(d).slice(9,12));s.destroy()});s.on('close',()=>console.log('closed'));s.on('error',()=>{})`;
    const as = (uid: number, gid: number): string => spawnSync(process.execPath, ['-e', program], { uid, gid, encoding: 'utf8', cwd: '/', timeout: 10_000 }).stdout;
    try {
      // Root itself is on no list; the directory keeps other users out, as it is meant to, so they are let through it here.
      spawnSync('chmod', ['711', root, join(root, 'listed')]);
      spawnSync('chmod', ['666', path]);
      expect(as(0, 0)).toBe('closed\n');
      expect(as(4712, 816)).toBe('closed\n');
      expect(as(4711, 816)).toMatch(/answered 401/);
      expect(as(4712, 815)).toMatch(/answered 401/);
    } finally {
      await service.stop();
    }
  });

  test('takes over what a killed service left, and nothing else', async () => {
    const left = join(root, 'left/api.sock');
    mkdirSync(join(root, 'left'), { mode: 0o700 });
    const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(left)},()=>console.log('up'))`]);
    await once(child.stdout, 'data');
    const inUse = await ronKms(['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--uds-path', left]);
    expect([inUse.code, inUse.err]).toEqual([1, expect.stringContaining('is in use')]);
    child.kill('SIGKILL');
    await once(child, 'close');
    const service = await startService({ flags: ['--uds-path', left] });
    await once(connect(left).once('connect', function end(this: { destroy(): void }) { this.destroy(); }), 'close');
    await service.stop();

    writeFileSync(left, 'somebody\'s file');
    const other = await ronKms(['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--uds-path', left]);
    expect([other.code, other.err]).toEqual([1, expect.stringContaining('is not a socket')]);
    mkdirSync(join(root, 'open'), { mode: 0o755 });
    const open = await ronKms(['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--uds-path', join(root, 'open/api.sock')]);
    expect([open.code, open.err]).toEqual([1, expect.stringContaining('chmod 700')]);
  });
});
