import type { ConfigPath } from './keys.ts';
import { renamedKeys } from './renamed.ts';

export interface Migrated {
  readonly text: string;
  readonly changes: readonly { readonly from: string; readonly to: ConfigPath }[];
}

const HEADER = /^\s*\[([A-Za-z0-9_.-]+)\]\s*(#.*)?$/;
const PAIR = /^(\s*)([A-Za-z0-9_.-]+)(\s*=.*)$/;

/**
 * The text of a configuration with every setting under its name of today; all else, comments too, stays as it is. It knows the lines
 * that people write, not all of TOML: whoever calls it reads the outcome and holds it against what was there.
 */
export function migrateText(text: string): Migrated {
  const lines = text.split('\n');
  const changes: { from: string; to: ConfigPath }[] = [];
  /** Pairs that move under a table which is there, by its name. */
  const moving = new Map<string, string[]>();
  const headers = new Set(lines.flatMap((line) => HEADER.exec(line)?.[1] ?? []));
  let table = '';
  const kept = lines.flatMap((line) => {
    const header = HEADER.exec(line)?.[1];
    if (header !== undefined) table = header;
    const [, indent = '', key = '', rest = ''] = PAIR.exec(line) ?? [];
    const from = table === '' ? key : `${table}.${key}`;
    const renamed = Object.hasOwn(renamedKeys, from) ? renamedKeys[from] : undefined;
    if (renamed === undefined) return [line];
    changes.push({ from, to: renamed.to });
    const [target, name] = splitPath(renamed.to);
    if (!headers.has(target)) return table === '' ? [`${indent}${renamed.to}${rest}`] : [];
    moving.set(target, [...(moving.get(target) ?? []), `${name}${rest}`]);
    return [];
  });
  const placed = kept.flatMap((line) => [line].concat(moving.get(HEADER.exec(line)?.[1] ?? '') ?? []));
  return { text: placed.join('\n'), changes };
}

function splitPath(path: string): readonly [table: string, name: string] {
  const at = path.lastIndexOf('.');
  return [path.slice(0, at), path.slice(at + 1)];
}
