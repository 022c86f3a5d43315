/**
 * The life of a key version (DESIGN §2):
 *
 *   enabled ⇄ disabled;  enabled, disabled → scheduled → destroyed;  scheduled → what it was (restore)
 *
 * `destroyed` is final. A restore gives back the state before, so it lifts no hold.
 */
export type VersionState = 'enabled' | 'disabled' | 'scheduled' | 'destroyed';

export type Transition = 'disable' | 'enable' | 'destroy' | 'restore' | 'erase';

/** What a version in each state may be used for. `use` is the private part or a fresh wrap. */
const uses = {
  enabled: { use: true, verify: true },
  disabled: { use: false, verify: false },
  scheduled: { use: false, verify: true },
  destroyed: { use: false, verify: true },
} as const satisfies Record<VersionState, { use: boolean; verify: boolean }>;

/** The part of a version record that its life changes. */
export interface Life {
  readonly state: VersionState;
  /** When the private part is to be erased; set while `scheduled`. */
  readonly destroyAtMs?: number;
  /** What `restore` gives back; set while `scheduled`. */
  readonly restoreTo?: 'enabled' | 'disabled';
}

type Step = (life: Life, destroyAtMs: number) => Life | undefined;

/** Each step gives the life after it, or undefined where the state does not allow it. */
const steps: Readonly<Record<Transition, Step>> = {
  disable: ({ state }) => (state === 'enabled' || state === 'disabled' ? { state: 'disabled' } : undefined),
  enable: ({ state }) => (state === 'enabled' || state === 'disabled' ? { state: 'enabled' } : undefined),
  destroy: ({ state }, destroyAtMs) => (state === 'enabled' || state === 'disabled' ? { state: 'scheduled', destroyAtMs, restoreTo: state } : undefined),
  restore: ({ state, restoreTo }) => (state === 'scheduled' && restoreTo !== undefined ? { state: restoreTo } : undefined),
  erase: ({ state }) => (state === 'scheduled' ? { state: 'destroyed' } : undefined),
};

/** The life after a transition; undefined when the state does not allow it. `destroyAtMs` is for `destroy`. */
export function step(life: Life, transition: Transition, destroyAtMs = 0): Life | undefined {
  return steps[transition](life, destroyAtMs);
}

export function canUse(state: VersionState): boolean {
  return uses[state].use;
}

export function canVerify(state: VersionState): boolean {
  return uses[state].verify;
}
