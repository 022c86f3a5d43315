import type { Lockfile } from './lockfile.ts';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Json = Readonly<Record<string, any>>;

/**
 * The CycloneDX SBOM of what is shipped, as npm reads it off the lockfile: without the moment, the random serial number, the tool's version and the
 * addresses of whoever made it, so that the same lockfile gives the same bytes.
 */
export function makeSbom(root: string): string {
  const text = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'ignore'] });
  const { serialNumber: _, metadata, components, dependencies, ...rest } = JSON.parse(text) as Json;
  const { timestamp: __, tools: ___, ...described } = metadata as Json;
  // npm calls it by the folder that it lies in.
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly name: string };
  const shipped = shippedRefs(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lockfile);
  const own = String((described['component'] as Json)['bom-ref']);
  const isKept = (ref: unknown): boolean => ref === own || shipped.has(String(ref));
  const byRef = (one: Json, other: Json): number => String(one['bom-ref'] ?? one['ref']).localeCompare(String(other['bom-ref'] ?? other['ref']));
  return `${JSON.stringify({
    ...rest, metadata: { ...described, component: { ...withoutAddresses(described['component'] as Json), name } },
    components: (components as readonly Json[]).filter((one) => isKept(one['bom-ref'])).map(withoutAddresses).toSorted(byRef),
    dependencies: (dependencies as readonly Json[]).filter(({ ref }) => isKept(ref)).map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: (dependsOn as readonly string[]).filter(isKept) })).toSorted(byRef),
  }, null, 1)}\n`;
}

/** What is not there for development alone. By the lockfile: `npm sbom --omit dev` leaves out what is shipped as well when a package for development needs it too. */
export function shippedRefs({ packages }: Lockfile): ReadonlySet<string> {
  return new Set(Object.entries(packages).flatMap(([path, { version, dev = false, link = false }]) => (!path.includes(MODULES) || dev || link ? [] : [`${path.slice(path.lastIndexOf(MODULES) + MODULES.length)}@${version}`])));
}

const MODULES = 'node_modules/';

function withoutAddresses({ externalReferences, ...component }: Json): Json {
  const kept = ((externalReferences ?? []) as readonly Json[]).filter(({ type }) => type !== 'distribution');
  return kept.length === 0 ? component : { ...component, externalReferences: kept };
}
