import type { Lockfile } from './lockfile.ts';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file of native code that is shipped, and where it came from. */
export interface NativeBinary {
  readonly path: string;
  readonly package: string;
  /** Left out of what is compiled at install: each compiler makes another. */
  readonly sha256?: string;
  /** Of the package it came in, as the lockfile has it; one that is compiled here says so. */
  readonly from: string;
}

const NATIVE = /\.(node|so|dylib)$/;
const MODULES = 'node_modules/';
const COMPILED = /\/build\/(?!.*prebuild)/;

/** Every native file below node_modules that is not for development alone, in the order of their paths. */
export function nativeBinaries(root: string, { packages }: Lockfile): readonly NativeBinary[] {
  const found: NativeBinary[] = [];
  for (const [path, { version = '', integrity = '', dev, link }] of Object.entries(packages)) {
    if (!path.startsWith(MODULES) || dev === true || link === true) continue;
    for (const file of filesIn(join(root, path)).filter((name) => NATIVE.test(name) && !name.includes('obj.target'))) {
      const isCompiled = COMPILED.test(`/${file}`);
      found.push({
        path: `${path}/${file}`, package: `${path.slice(MODULES.length)} ${version}`,
        ...(!isCompiled && { sha256: createHash('sha256').update(readFileSync(join(root, path, file))).digest('hex') }),
        from: isCompiled ? 'compiled at install' : integrity,
      });
    }
  }
  return found.toSorted((one, other) => one.path.localeCompare(other.path));
}

/** Not those of packages inside; an optional one may not be there. */
function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => !name.includes('node_modules/'));
  } catch {
    return [];
  }
}
