import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = '4.32.5';
const HOOKS = fileURLToPath(new URL('schemathesis_hooks.py', import.meta.url));

export const IS_SCHEMATHESIS_HERE = spawnSync('schemathesis', ['--version'], { encoding: 'utf8' }).stdout?.includes(VERSION) ?? false;
export const SCHEMATHESIS_MISSING = `SKIPPED: the API against its own document. It needs schemathesis ${VERSION} (python3 -m venv st-venv && st-venv/bin/pip install schemathesis==${VERSION}, with st-venv/bin in PATH)`;

/** An unknown method is a path where nothing is (DESIGN §3), not a 405; and what is right by its schema is refused where no key of that name or kind is there. */
const NOT_OURS = ['unsupported_method', 'positive_data_acceptance'];

export interface ConformanceOptions {
  readonly url: string;
  readonly token: string;
  /** Of keys that are there, for calls to reach them. */
  readonly kids: readonly string[];
  /** A wrapped key that one of them opens. */
  readonly wrapped: string;
  /** Of each call. */
  readonly examples: number;
  /** More of its flags. */
  readonly flags?: readonly string[];
}

/** Calls made up from /openapi.json, right and wrong ones, and every answer held against it: 0 and its report where all of them are as it says. */
export async function runSchemathesis({ url, token, kids, wrapped, examples, flags = [] }: ConformanceOptions): Promise<{ readonly code: number | null; readonly said: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-schemathesis-'));
  try {
    const child = spawn('schemathesis', [
      'run', `${url}/openapi.json`, '--url', url, '--header', `Authorization: Bearer ${token}`, '--seed', '1', '--max-examples', String(examples), '--phases', 'coverage,fuzzing,stateful',
      '--checks', 'all', '--exclude-checks', NOT_OURS.join(','), '--continue-on-failure', '--no-shrink', '--request-timeout', '10', '--warnings', 'off',
      // Of a kid in a path, any text fits its schema: hardly a one is found that does not.
      '--suppress-health-check', 'filter_too_much', ...flags,
    ], { cwd: directory, env: { ...process.env, SCHEMATHESIS_HOOKS: HOOKS, RON_KMS_KIDS: JSON.stringify(kids), RON_KMS_WRAPPED: wrapped, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { said += chunk.toString(); });
    const [code] = await once(child, 'close') as [number | null];
    return { code, said };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
