import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { LAUNCHER } from '../harness/service.ts';

test('a service whose log nobody reads any more goes on, and ends when it is told to', async () => {
  const child = spawn(LAUNCHER, ['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { api_url: apiUrl, token } = JSON.parse(line.toString()) as { api_url: string; token: string };
  child.stderr.destroy();
  for (let i = 0; i < 200; i++) expect((await fetch(`${apiUrl}/v1/kms/token`, { headers: { authorization: `Bearer ${token}x` } })).status).toBe(401);
  expect((await fetch(`${apiUrl}/v1/kms/token`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(code).toBe(0);
});
