import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Decision, OwnRules, TenantRules, Tightening } from '../../src/core/policy/decision.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { verifyModes } from '../../src/core/bundle/modes.ts';
import { KmsError } from '../../src/core/errors.ts';
import { attestRequirements, decideOwn, requirePostQuantum, resolveHybrid, resolveMode, tighten } from '../../src/core/policy/decision.ts';

const mode = fc.constantFrom(...verifyModes);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const limit = fc.integer({ min: 0, max: 1000 });
const quotas = fc.record({ rps: limit, inFlight: limit, keys: limit }, { requiredKeys: [] });
const strictness = (of: Decision['mode']): number => verifyModes.indexOf(of);

const WHOLE = { produceHybrid: true, verifyMode: 'and', rolloutPercent: 100 } as const;
const CLASSICAL = { mode: 'or', produceHybrid: false, classicalOk: false, isEvidenceRequired: false, isEvidenceOffered: true, quotas: {} };

function decided(rules: TenantRules = {}, { stage = WHOLE, attestRequire = 'if-available' }: Partial<OwnRules> = {}): Decision {
  return decideOwn('core', { stage, attestRequire, tenants: new Map([['core', rules], ['edge', { verifyMode: 'pq_only', classicalOk: true }]]) });
}

describe('what the operator set', () => {
  test('counts for a tenant by its own rules first, then by those for all, and another tenant changes nothing', () => {
    const stage = { ...WHOLE, verifyMode: 'or', produceHybrid: false } as const;
    expect(decided({}, { stage })).toEqual(CLASSICAL);
    expect(decided({ verifyMode: 'and' }, { stage }).mode).toBe('and');
    expect(decided({ verifyMode: 'or' }).mode).toBe('or');
    expect(decided({ produceHybrid: true }, { stage }).produceHybrid).toBe(true);
    expect(decided({ verifyMode: 'or', produceHybrid: false }).produceHybrid).toBe(false);
    expect(decided({ classicalOk: true }).classicalOk).toBe(true);
    expect(decided({ quotas: { rps: 5 } }).quotas).toEqual({ rps: 5 });
    expect(decideOwn('third', { stage: WHOLE, attestRequire: 'never', tenants: new Map() })).toEqual({ ...CLASSICAL, mode: 'and', produceHybrid: true, isEvidenceOffered: false });
  });

  test('never signs what would not verify: a mode stricter than `or` makes both signatures', () => {
    fc.assert(fc.property(mode, fc.boolean(), maybe(mode), maybe(fc.boolean()), fc.integer({ min: 0, max: 100 }), (verifyMode, produceHybrid, own, hybrid, rolloutPercent) => {
      const rules = { ...(own !== undefined && { verifyMode: own }), ...(hybrid !== undefined && { produceHybrid: hybrid }) };
      const decision = decided(rules, { stage: { verifyMode, produceHybrid, rolloutPercent } });
      if (decision.mode !== 'or') expect(decision.produceHybrid).toBe(true);
    }));
  });

  // SHA-256 of the name mod 100, as Python counts it.
  test.each([['core', 40], ['edge', 96], ['audit', 79], ['acme', 99]])('rolls out to %s above %i percent, whatever came before', (tenant, place) => {
    const modeAt = (rolloutPercent: number): string => decideOwn(tenant, { stage: { ...WHOLE, rolloutPercent }, attestRequire: 'never', tenants: new Map() }).mode;
    const modes = Array.from({ length: 101 }, (_, percent) => modeAt(percent));
    expect(modes).toEqual(modes.map((_, percent) => (percent > place ? 'and' : 'or')));
    expect([modeAt(-1), modeAt(101)]).toEqual(['or', 'and']);
  });

  test('of evidence is for a tenant at least what it is for all', () => {
    const verdicts = attestRequirements.map((forAll) => attestRequirements.map((attestRequire) => {
      const { isEvidenceRequired, isEvidenceOffered } = decided({ attestRequire }, { attestRequire: forAll });
      return `${isEvidenceOffered ? 'offered' : '-'} ${isEvidenceRequired ? 'required' : '-'}`;
    }));
    expect(attestRequirements).toEqual(['never', 'if-available', 'required']);
    expect(verdicts).toEqual([
      ['- -', 'offered -', 'offered required'],
      ['- -', 'offered -', 'offered required'],
      ['- required', 'offered required', 'offered required'],
    ]);
    expect(attestRequirements.map((attestRequire) => decided({}, { attestRequire }).isEvidenceOffered)).toEqual([false, true, true]);
  });
});

describe('what a policy service asks for on top', () => {
  const own = fc.record({ mode, produceHybrid: fc.boolean(), classicalOk: fc.boolean(), isEvidenceRequired: fc.boolean(), isEvidenceOffered: fc.boolean(), quotas });
  const asked: fc.Arbitrary<Tightening> = fc.record({ mode, produceHybrid: fc.boolean(), isEvidenceRequired: fc.boolean(), quotas }, { requiredKeys: [] });

  test('is in each respect the stricter of the two, and never less than the operator set', () => {
    fc.assert(fc.property(own, asked, (before, more) => {
      const after = tighten(before, more);
      expect(strictness(after.mode)).toBe(Math.max(strictness(before.mode), strictness(more.mode ?? 'or')));
      expect(after.produceHybrid).toBe(before.produceHybrid || more.produceHybrid === true || after.mode !== 'or');
      expect(after.isEvidenceRequired).toBe(before.isEvidenceRequired || more.isEvidenceRequired === true);
      expect([after.classicalOk, after.isEvidenceOffered]).toEqual([before.classicalOk, before.isEvidenceOffered]);
      for (const name of ['rps', 'inFlight', 'keys'] as const) {
        const least = Math.min(before.quotas[name] ?? Infinity, more.quotas?.[name] ?? Infinity);
        expect(after.quotas[name]).toBe(least === Infinity ? undefined : least);
      }
    }));
  });

  test('that is nothing changes nothing', () => {
    expect(tighten(decided({ quotas: { keys: 3 } }), {})).toEqual(decided({ quotas: { keys: 3 } }));
    expect(tighten(decided({}, { stage: { ...WHOLE, rolloutPercent: 0 } }), {})).toEqual(CLASSICAL);
  });
});

describe('what a request asks for', () => {
  test('may be a stricter mode; a looser one is refused with PqPolicy and where it is set', () => {
    const resolved = verifyModes.map((decision) => [undefined, ...verifyModes].map((requested) => outcome(() => resolveMode(decision, requested))));
    const refused = expect.stringMatching(/^PqPolicy: .*stricter.*pq\.verify_mode or tenants\.<name>\.verify_mode/);
    expect(resolved).toEqual([
      ['or', 'or', 'pq_only', 'and'],
      ['pq_only', refused, 'pq_only', 'and'],
      ['and', refused, refused, 'and'],
    ]);
  });

  test('may be both signatures; to make only one where both are decided is refused', () => {
    const resolved = [false, true].map((decision) => [undefined, false, true].map((requested) => outcome(() => resolveHybrid(decision, requested))));
    expect(resolved).toEqual([
      [false, false, true],
      [true, expect.stringMatching(/^PqPolicy: .*never lower.*pq\.produce_hybrid or tenants\.<name>\.produce_hybrid/), true],
    ]);
  });
});

test('a key without a post-quantum part works under `or`, under `and` where the operator allows it, and never under `pq_only`', () => {
  const spec = specOf('ed25519', undefined);
  const refused = expect.stringMatching(/^PqPolicy: .*no post-quantum part.*verify_mode = "or".*classical_ok = true/);
  expect(verifyModes.map((each) => [false, true].map((classicalOk) => outcome(() => requirePostQuantum(spec, each, classicalOk))))).toEqual([
    [undefined, undefined],
    [refused, refused],
    [refused, undefined],
  ]);
  for (const each of verifyModes) {
    for (const [alg, parameterSet] of [['ml-dsa', 'ML-DSA-44'], ['ed25519+ml-dsa', 'ML-DSA-65'], ['mldsa65-ed25519-sha512', undefined], ['x25519+ml-kem', undefined], ['aes-256-gcm', undefined]] as const) {
      expect(outcome(() => requirePostQuantum(specOf(alg, parameterSet), each, false))).toBeUndefined();
    }
  }
});

/** What comes of it, a refusal as its code and hint. */
function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (fault) {
    return fault instanceof KmsError ? `${fault.code}: ${fault.hint}` : fault;
  }
}
