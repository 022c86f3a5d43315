import type { Alg } from '../../src/core/algorithm/table.ts';
import type { KeyRecord, VersionRecord } from '../../src/core/key/record.ts';
import type { Subject } from '../../src/service/call.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { currentVersion } from '../../src/core/key/record.ts';

/** A key of this base, `tenant/purpose/alg/id`, with one version for each of these, enabled unless it says otherwise. */
export function keyRecord(base: string, ...versions: readonly Partial<VersionRecord>[]): KeyRecord {
  const [tenant = '', purpose = '', alg = ''] = base.split('/');
  return {
    base, tenant, purpose, alg: alg as Alg, createdAtMs: 0, input: 'b3', labels: {},
    versions: versions.map((more, i) => Object.assign({ version: i + 1, kid: `${base}#v${i + 1}`, kidHash: '', state: 'enabled' as const, createdAtMs: 0, attestationClass: 'test', publicParts: [] }, more)),
  };
}

/** The current version of a key, as an operation is about it. */
export function subjectOf(key: KeyRecord): Subject {
  return { key, version: currentVersion(key), spec: specOf(key.alg, key.parameterSet) };
}
