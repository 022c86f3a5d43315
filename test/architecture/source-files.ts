import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { ResolverFactory } from 'oxc-resolver';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Import {
  /** Paths from the root of the project; a package or built-in keeps its name. */
  readonly from: string;
  readonly to: string;
}

/** Every TypeScript file below the folders, as paths from the root. */
export function sourceFiles(...folders: readonly string[]): readonly string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.includes('node_modules') && !name.startsWith('dist/'))
      .map((name) => `${folder}/${name}`));
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** What the files import, static and dynamic, resolved as the runtime would. */
export function importsOf(files: readonly string[]): readonly Import[] {
  const resolver = new ResolverFactory({ extensions: ['.ts', '.js'], conditionNames: ['node', 'import', 'types'] });
  return files.flatMap((from) => {
    const { module, errors } = parseSync(from, textOf(from));
    if (errors.length > 0) throw new Error(`${from} does not parse`);
    const text = textOf(from);
    const specifiers = [
      ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
      ...module.staticExports.flatMap(({ entries }) => entries.flatMap(({ moduleRequest }) => (moduleRequest === null ? [] : [moduleRequest.value]))),
      ...module.dynamicImports.map(({ moduleRequest }) => text.slice(moduleRequest.start + 1, moduleRequest.end - 1)),
    ];
    return specifiers.map((specifier) => ({ from, to: resolve(resolver, from, specifier) }));
  });
}

function resolve(resolver: ResolverFactory, from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const { path, error } = resolver.sync(dirname(join(ROOT, from)), specifier);
  if (path === undefined) throw new Error(`${from} imports ${specifier}, which does not resolve: ${error ?? ''}`);
  return relative(ROOT, path);
}
