import type { Crash } from '../harness/faulty-files.ts';
import type { Chance } from './chance.ts';
import type { Conditions } from './conditions.ts';
import type { Disk, Platter } from './disk.ts';
import type { LifeDeps, RunningLife } from './life.ts';
import type { Life, VirtualTime } from './virtual-time.ts';
import { Broken } from './book.ts';
import { createDisk } from './disk.ts';
import { startLife } from './life.ts';
import { openSimulatedStore } from './store.ts';

/** The machine that the service runs on: one process after the other, over what the one before left on its disk. */
export interface Machine {
  /** The process that serves, if one does. */
  serving(): { readonly life: RunningLife; readonly tag: Life; readonly gone: Promise<'gone'> } | undefined;
  /** Starts processes until one serves: what keeps it from starting passes. */
  revive(): Promise<void>;
  /** An orderly stop. */
  stop(): Promise<void>;
  /** What is on the disk while nothing runs, and of what runs as if it were killed now. */
  platter(): Platter;
  /** Another disk is put in, while nothing runs. */
  putIn(platter: Platter): void;
  /** One process, once: undefined when it does not come to serve. */
  startOnce(): Promise<RunningLife | undefined>;
  /** The process is gone at once. */
  end(how: string): void;
}

export interface MachineDeps {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly conditions: Conditions;
  readonly start: Platter;
  readonly crashes: readonly Crash[];
  readonly plant: string | undefined;
  readonly parts: Omit<LifeDeps, 'pid' | 'disk' | 'store' | 'plant'>;
  /** A process serves; throws when it should not, or not so. */
  readonly started: (life: RunningLife) => void;
  readonly died: (how: string) => void;
}

/** A start that the disk does not let happen is tried again. */
const STARTS_MAX = 40;

export function createMachine({ time, chance, conditions, start, crashes, plant, parts, started, died }: MachineDeps): Machine {
  let platter = start;
  let disk: Disk | undefined;
  let current: { readonly tag: Life; readonly gone: PromiseWithResolvers<'gone'> } = { tag: { isOver: true }, gone: Promise.withResolvers() };
  let serving: RunningLife | undefined;
  let reviving: Promise<void> | undefined;
  let pids = 1;

  const over = (): void => {
    current.tag.isOver = true;
    current.gone.resolve('gone');
    serving = undefined;
  };

  const end = (how: string): void => {
    if (current.tag.isOver) return;
    over();
    if (disk !== undefined) platter = disk.crashed();
    disk = undefined;
    died(how);
  };

  const startOnce = async (): Promise<RunningLife | undefined> => {
    current = { tag: { isOver: false }, gone: Promise.withResolvers() };
    const { tag, gone } = current;
    const own = createDisk({ start: platter, weather: conditions.disk, chance, sleep: time.sleep, crashes, died: end, plant });
    disk = own;
    const beginning = time.within(tag, async () => startLife({ ...parts, pid: ++pids, disk: own, store: await openSimulatedStore({ image: platter.store, flush: own.flushStore }), plant }));
    const begun = await Promise.race([beginning.catch((fault: unknown) => fault as Error), gone.promise]);
    if (tag.isOver || begun === 'gone') return undefined;
    if (begun instanceof Error) {
      if (conditions.disk.failing === 0) throw new Broken('comes-back', `it does not start, and the disk is well: ${begun.stack}`);
      over();
      platter = own.stopped();
      disk = undefined;
      died(`at its start: ${begun.message}`);
      return undefined;
    }
    started(begun);
    serving = begun;
    return begun;
  };

  const untilServing = async (): Promise<void> => {
    for (let tries = 0; ; tries++) {
      if (tries === STARTS_MAX) throw new Broken('comes-back', `it did not start ${STARTS_MAX} times`);
      await time.sleep(500 + 8000 * chance.next());
      if (tries > 3) conditions.disk.diesIn = undefined;
      if (await startOnce() !== undefined) return;
    }
  };

  return {
    serving: () => serving && { life: serving, tag: current.tag, gone: current.gone.promise },
    revive: () => (reviving ??= untilServing().finally(() => { reviving = undefined; })),
    async stop() {
      const life = serving;
      const { tag, gone } = current;
      serving = undefined;
      if (life === undefined) return;
      await Promise.race([time.within(tag, () => life.stop()).catch(() => undefined), gone.promise]);
      if (tag.isOver) return;
      if (disk !== undefined) platter = disk.stopped();
      disk = undefined;
      over();
    },
    platter: () => disk?.stopped() ?? platter,
    putIn(next) {
      platter = next;
    },
    startOnce, end,
  };
}
