/** What one drill did to the service, and what was seen. */
export interface Outcome {
  /** In figures: how often, how many, how long. */
  readonly figures: Readonly<Record<string, number | string>>;
  /** What should not have been; none where all held. */
  readonly faults: readonly string[];
}

interface DrillContext {
  /** A directory of its own, which goes afterwards. */
  readonly home: string;
  /** How long it may go on, where it goes on. */
  readonly ms: number;
  /** Something is broken on purpose, which the drill has to see. */
  readonly isPlanted: boolean;
  readonly say: (progress: string) => void;
}

/** Something that happens to real services, done on purpose. */
export interface Drill {
  readonly name: string;
  /** What is done, for who reads the report. */
  readonly does: string;
  /** What has to hold meanwhile and afterwards. */
  readonly holds: string;
  /** Why it cannot be done on this machine, and what to install. */
  readonly missing?: string | undefined;
  run(context: DrillContext): Promise<Outcome>;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Collects what should not have been, a few of a kind. */
export function createFaults() {
  const MAX = 20;
  const found: string[] = [];
  return {
    found,
    add: (fault: string): void => { if (found.length < MAX) found.push(fault); },
    unless(holds: boolean, fault: string): void {
      if (!holds) this.add(fault);
    },
  };
}

export type Faults = ReturnType<typeof createFaults>;
