import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const LAUNCHER = fileURLToPath(new URL('../bin/ron-kms', import.meta.url));

/** The flags that the launcher gives to node, for a process that is to be like the service. */
export function launcherFlags(): readonly string[] {
  const line = readFileSync(LAUNCHER, 'utf8').split('\n').find((text) => text.startsWith('exec ')) ?? '';
  return line.match(/(?<= )--[\w=-]+/g) ?? [];
}

/** Without the settings of whoever runs the bench. */
export function launcherEnvironment(compileCache?: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RON_KMS_') && name !== 'NODE_COMPILE_CACHE');
  return { ...Object.fromEntries(own), ...(compileCache !== undefined && { NODE_COMPILE_CACHE: compileCache }) };
}
