import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { eventually } from './poll.ts';

export const IS_MOTO_HERE = spawnSync('moto_server', ['--help'], { stdio: 'ignore' }).status === 0;
export const MOTO_MISSING = 'SKIPPED: AWS KMS. It needs moto (python3 -m venv kms-venv && kms-venv/bin/pip install "moto[kms,server]", with kms-venv/bin in PATH)';

/** AWS as moto does it, in a process of its own. */
export interface Moto {
  readonly url: string;
  end(): Promise<void>;
}

export async function startMoto(): Promise<Moto> {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as { port: number };
  free.close();
  const child = spawn('moto_server', ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  await eventually('moto answers', 60_000, () => fetch(`${url}/moto-api/`).then(({ ok }) => ok, () => false));
  return {
    url,
    async end() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
