import type { ErrorDetail } from '../core/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { KmsError } from '../core/errors.ts';

/** Work with keys of one kind: so much of it at once, and the rest waits, each tenant's in a line of its own, taken in turns. */
export interface WorkQueue {
  /** `cost` is how many ordinary pieces of work this one is; one that is larger than all that may be runs alone. */
  run<T>(tenant: string, work: () => Promise<T>, cost?: number): Promise<T>;
  /** What runs and what waits. */
  depth(): number;
}

export interface WorkQueueConfig {
  /** How much runs at once. */
  readonly width: number;
  /** The same in a rush: what runs takes from what is running already, and somebody waits for each. */
  readonly rushWidth: number;
  /** How much there may be in all, asked each time: a reload may change it. */
  readonly max: () => number;
  /** Says that it is full. */
  readonly full: Pick<ErrorDetail, 'hint' | 'queue'>;
  readonly clock: Pick<Clock, 'monotonicNs'>;
}

interface Waiting {
  readonly cost: number;
  readonly enter: () => void;
  readonly refuse: () => void;
}

/** In a rush nobody is let in to wait longer than about this, besides the work itself. */
const TARGET_WAIT_S = 0.004;
/** A line as long as a part of all that may be is a rush once it has lasted: a batch has been done by then. */
const RUSH_SHARE = 0.5;
const RUSH_AFTER_NS = 200_000_000n;
/** Of those who ask for little, some come at once all the same. */
const LINE_MIN = 4;
/** The rush is over when nobody was refused for so long. */
const CALM_NS = 1_000_000_000n;
const MEASURED_OVER_NS = 100_000_000n;
const RATE_KEPT = 0.99;
const SECOND_NS = 1e9;

/**
 * Up to `max` all are let in: a burst is done in time, and so are some dozens of clients that each wait for their answer. A
 * queue that is full, or half full for long, only makes every answer late. In such a rush what waits is kept to what is
 * done in some milliseconds, an equal part of it for each tenant, and the rest is refused at once.
 */
export function createWorkQueue({ width, rushWidth, max, full, clock }: WorkQueueConfig): WorkQueue {
  /** In the order of their turns. */
  const lines = new Map<string, Waiting[]>();
  const rate = createRate(clock);
  let depth = 0;
  let running = 0;
  let rushUntilNs = 0n;
  let longSinceNs: bigint | undefined;

  const widthAt = (nowNs: bigint): number => (nowNs < rushUntilNs ? rushWidth : width);

  const isShort = (tenant: string, cost: number): boolean => {
    const waiting = lines.get(tenant)?.length ?? 0;
    const tenants = lines.size + (waiting === 0 ? 1 : 0);
    return waiting + cost <= Math.max(LINE_MIN, Math.ceil((TARGET_WAIT_S * rate.perSecond()) / tenants));
  };

  /** Refuses who came last in lines that are too long now. */
  const shorten = (): void => {
    const each = Math.max(LINE_MIN, Math.ceil((TARGET_WAIT_S * rate.perSecond()) / lines.size));
    for (const line of lines.values()) {
      for (const { cost, refuse } of line.splice(each)) {
        depth -= cost;
        refuse();
      }
    }
  };

  const isLetIn = (tenant: string, cost: number): boolean => {
    if (depth === 0) return true;
    const nowNs = clock.monotonicNs();
    if (depth <= RUSH_SHARE * max()) longSinceNs = undefined;
    else longSinceNs ??= nowNs;
    const isRushing = nowNs < rushUntilNs;
    if (depth + cost > max() || (longSinceNs !== undefined && nowNs - longSinceNs >= RUSH_AFTER_NS)) {
      if (!isRushing) shorten();
      rushUntilNs = nowNs + CALM_NS;
    }
    if (nowNs >= rushUntilNs || running < widthAt(nowNs)) return depth + cost <= max();
    const isIn = isShort(tenant, cost) && depth + cost <= max();
    if (!isIn) rushUntilNs = nowNs + CALM_NS;
    return isIn;
  };

  /** Lets in who waits, line by line, as long as there is room. */
  const fill = (): void => {
    for (const [tenant, line] of lines) {
      if (running >= widthAt(clock.monotonicNs())) return;
      const next = line.shift();
      // Behind the others, if there is more; the loop comes by there again.
      lines.delete(tenant);
      if (line.length > 0) lines.set(tenant, line);
      running++;
      next?.enter();
    }
  };

  const perform = async <T>(work: () => Promise<T>, cost: number): Promise<T> => {
    try {
      return await work();
    } finally {
      running--;
      depth -= cost;
      rate.count();
      fill();
    }
  };

  return {
    async run(tenant, work, cost = 1) {
      if (!isLetIn(tenant, cost)) throw new KmsError('Backpressure', full);
      depth += cost;
      if (lines.size === 0 && running < width) {
        running++;
        return perform(work, cost);
      }
      const { promise: turn, resolve, reject } = Promise.withResolvers<undefined>();
      const waiting: Waiting = { cost, enter: () => resolve(undefined), refuse: () => reject(new KmsError('Backpressure', full)) };
      const line = lines.get(tenant);
      if (line === undefined) lines.set(tenant, [waiting]);
      else line.push(waiting);
      // Never before those who came earlier, also where there is more room all at once.
      fill();
      await turn;
      return perform(work, cost);
    },
    depth: () => depth,
  };
}

/** How much is done a second when there is enough to do: what was seen last does not count for less because little was let in. */
function createRate(clock: WorkQueueConfig['clock']): { count(): void; perSecond(): number } {
  let sinceNs = clock.monotonicNs();
  let done = 0;
  let latest = 0;
  return {
    count() {
      done++;
      const forNs = clock.monotonicNs() - sinceNs;
      if (forNs < MEASURED_OVER_NS) return;
      latest = Math.max(done / (Number(forNs) / SECOND_NS), RATE_KEPT * latest);
      done = 0;
      sinceNs += forNs;
    },
    perSecond: () => latest,
  };
}
