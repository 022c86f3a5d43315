import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

const REPOSITORY = new URL('../../', import.meta.url);
const EXPECTED_AT = '../shared/vectors';
const DIRECTORY = new URL(`${EXPECTED_AT}/`, REPOSITORY);

/**
 * A suite over the full published vectors, which lie beside the checkout. Without them it is skipped,
 * and says so in its name and on the console; where CI runs, they have to be there.
 */
export function describePublished(name: string, suite: () => void): void {
  if (existsSync(DIRECTORY)) {
    describe(name, suite);
    return;
  }
  const missing = () => { test(`the published vectors are at ${EXPECTED_AT}`, () => { expect(existsSync(DIRECTORY)).toBe(true); }); };
  if (process.env['CI'] === undefined) {
    console.warn(`SKIPPED: ${name}. The published vectors are expected at ${EXPECTED_AT}, seen from the root of the repository.`);
    describe.skip(`${name} (SKIPPED: no published vectors at ${EXPECTED_AT})`, missing);
  } else {
    describe(name, missing);
  }
}

/** A vector file as its source gives it. */
export function readPublished(path: string): unknown {
  const bytes = readFileSync(new URL(path, DIRECTORY));
  return JSON.parse((path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8'));
}

interface Entry<G extends { readonly tests: readonly object[] }> {
  readonly group: G;
  readonly item: G['tests'][number];
}

/**
 * ACVP and Wycheproof: every case beside its group, and the way it goes: through our own code, or why it
 * cannot. A file whose cases do not go the counted ways (a short or an empty one) fails here.
 */
export function readCases<G extends { readonly tests: readonly object[] }>(path: string, wayOf: (entry: Entry<G>) => string, counts: Readonly<Record<string, number>>): readonly (Entry<G> & { readonly way: string })[] {
  const { testGroups } = readPublished(path) as { readonly testGroups: readonly G[] };
  const cases = testGroups.flatMap((group) => group.tests.map((item) => ({ group, item, way: wayOf({ group, item }) })));
  expect(tally(cases, ({ way }) => way)).toEqual(counts);
  return cases;
}

/** How many there are of each kind. */
export function tally<T>(cases: readonly T[], wayOf: (item: T) => string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const item of cases) counts[wayOf(item)] = (counts[wayOf(item)] ?? 0) + 1;
  return counts;
}

export function hex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}
