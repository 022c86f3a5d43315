import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The SHA-256 of what `npm pack` makes of a folder, hex. */
export function packedHash(folder: string): string {
  const into = mkdtempSync(join(tmpdir(), 'ron-kms-pack-'));
  try {
    const out = execFileSync('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [{ filename }] = JSON.parse(out) as [{ readonly filename: string }];
    return createHash('sha256').update(readFileSync(join(into, filename))).digest('hex');
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}
