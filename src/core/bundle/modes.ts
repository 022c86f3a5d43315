import type { SignatureScheme } from '../algorithm/table.ts';

/**
 * The verify modes as a chain, loosest first: whoever satisfies a mode satisfies every looser one
 * (of a key with a post-quantum part).
 */
export const verifyModes = ['or', 'pq_only', 'and'] as const;

export type VerifyMode = (typeof verifyModes)[number];

export function isLooser(a: VerifyMode, b: VerifyMode): boolean {
  return verifyModes.indexOf(a) < verifyModes.indexOf(b);
}

const rules: Readonly<Record<VerifyMode, (schemes: readonly SignatureScheme[], valid: ReadonlySet<SignatureScheme>) => boolean>> = {
  or: (_schemes, valid) => valid.size > 0,
  pq_only: (_schemes, valid) => [...valid].some((scheme) => scheme.postQuantum),
  and: (schemes, valid) => schemes.every((scheme) => valid.has(scheme)),
};

/** Whether the valid signatures of one key version satisfy the mode, given all schemes of its key. */
export function isSatisfied(mode: VerifyMode, schemes: readonly SignatureScheme[], valid: ReadonlySet<SignatureScheme>): boolean {
  return valid.size > 0 && rules[mode](schemes, valid);
}
