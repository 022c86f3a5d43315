import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Json = Readonly<Record<string, any>>;

/**
 * The CycloneDX SBOM of what is shipped, as npm reads it off the lockfile: without the moment, the random serial number, the tool's version and the
 * addresses of whoever made it, so that the same lockfile gives the same bytes.
 */
export function makeSbom(root: string): string {
  const text = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only'], { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'ignore'] });
  const { serialNumber: _, metadata, components, dependencies, ...rest } = JSON.parse(text) as Json;
  const { timestamp: __, tools: ___, ...described } = metadata as Json;
  // npm calls it by the folder that it lies in.
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly name: string };
  const byRef = (one: Json, other: Json): number => String(one['bom-ref'] ?? one['ref']).localeCompare(String(other['bom-ref'] ?? other['ref']));
  return `${JSON.stringify({
    ...rest, metadata: { ...described, component: { ...withoutAddresses(described['component'] as Json), name } },
    components: (components as readonly Json[]).map(withoutAddresses).toSorted(byRef),
    dependencies: (dependencies as readonly Json[]).toSorted(byRef),
  }, null, 1)}\n`;
}

function withoutAddresses({ externalReferences, ...component }: Json): Json {
  const kept = ((externalReferences ?? []) as readonly Json[]).filter(({ type }) => type !== 'distribution');
  return kept.length === 0 ? component : { ...component, externalReferences: kept };
}
