import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

type ModuleFault = 'pin-locked' | 'session-stolen' | 'hang' | 'segfault' | 'device-error' | 'short-signature';

/** A vendor's module that breaks on demand: another one, with faults in front. */
export interface FaultyModule {
  readonly modulePath: string;
  readonly env: Readonly<Record<string, string>>;
  be(fault: ModuleFault | 'well'): void;
  drop(): void;
}

const SOURCE = fileURLToPath(new URL('faulty-module.c', import.meta.url));

/** Compiled by what compiled the binding. */
export function makeFaultyModule(realPath: string): FaultyModule {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-faulty-module-'));
  const [modulePath, control] = [join(root, 'faulty.so'), join(root, 'control')];
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', modulePath, SOURCE, '-ldl'], { stdio: 'pipe' });
  const be = (fault: string): void => writeFileSync(control, fault === 'well' ? '' : `${fault}\n`);
  be('well');
  return { modulePath, env: { FAULTY_MODULE: realPath, FAULTY_CONTROL: control }, be, drop: () => rmSync(root, { recursive: true, force: true }) };
}
