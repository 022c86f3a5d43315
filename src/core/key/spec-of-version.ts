import type { KeySpec } from '../algorithm/table.ts';
import type { VersionRecord } from './record.ts';
import { specOf } from '../algorithm/table.ts';
import { parseKid } from './kid.ts';

/** What a version is made of: its public parts say which of the parameter sets of its algorithm it has. */
export function specOfVersion({ kid, publicParts }: Pick<VersionRecord, 'kid' | 'publicParts'>): KeySpec {
  const parsed = parseKid(kid);
  if (parsed === undefined) throw new Error('a record has a kid');
  return specOf(parsed.alg, publicParts.find(({ parameterSet }) => parameterSet !== undefined)?.parameterSet);
}
