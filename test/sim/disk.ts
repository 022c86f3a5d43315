import type { Crash, DiskImage, FaultyFiles } from '../harness/faulty-files.ts';
import type { Chance } from './chance.ts';
import type { StoreImage } from './store.ts';
import { createFaultyFiles, systemFault } from '../harness/faulty-files.ts';

/** All that outlives a process: the files of the log, and the key store. */
export interface Platter {
  readonly files: DiskImage;
  readonly store: StoreImage;
}

/** How the disk is just now. */
export interface DiskWeather {
  /** Steps of a hundred that fail. */
  failing: number;
  /** What a call takes, at most. */
  slowMs: number;
  /** So many steps from now the process dies, in the middle of one. */
  diesIn: number | undefined;
}

export interface Disk {
  readonly files: FaultyFiles;
  /** A transaction of the store, with what this disk does to it. */
  readonly flushStore: (next: StoreImage) => Promise<void>;
  /** What a start finds after the crash that ends this process. */
  crashed(): Platter;
  /** What is there of a process that has stopped. */
  stopped(): Platter;
}

export interface DiskDeps {
  readonly start: Platter;
  readonly weather: DiskWeather;
  readonly chance: Chance;
  readonly sleep: (ms: number) => Promise<void>;
  /** Crashes that this log is to outlive with all that was answered. */
  readonly crashes: readonly Crash[];
  readonly died: (where: string) => void;
  /** A fault of the service's own making, planted to see that it is found. */
  readonly plant: string | undefined;
}

/** The disk of one process. It can die at any step: then what a start finds is as it was at that very step, whatever the process does on. */
export function createDisk({ start, weather, chance, sleep, crashes, died, plant }: DiskDeps): Disk {
  let store = start.store;
  let wreck: Platter | undefined;

  const taken = (withLastStep: boolean): Platter => ({ files: files.crashed(chance.one(crashes), withLastStep), store });

  const dieMaybe = (where: string, withLastStep: boolean): void => {
    if (weather.diesIn === undefined || wreck !== undefined || --weather.diesIn > 0) return;
    weather.diesIn = undefined;
    wreck = taken(withLastStep);
    died(where);
  };

  const pause = (): Promise<void> => sleep(0.02 + weather.slowMs * chance.next() ** 3);
  const mayFail = (path: string): void => {
    if (weather.failing > 0 && chance.percent(weather.failing)) throw systemFault(chance.one(['EIO', 'ENOSPC']), path);
  };

  const files: FaultyFiles = createFaultyFiles({
    start: start.files, random: chance.next, pause,
    before({ call, path }) {
      dieMaybe(`before ${call} ${path}`, false);
      mayFail(path);
    },
    after: ({ call, path }) => dieMaybe(`after ${call} ${path}`, true),
  });
  if (plant === 'answers-before-flush') files.flush = async () => undefined;

  return {
    files,
    async flushStore(next) {
      await pause();
      dieMaybe('before a commit', false);
      mayFail('/keys.db');
      if (plant === 'commits-unflushed' && chance.percent(20)) return;
      store = plant === 'forgets-nonces' ? { ...next, nonceEnds: new Map() } : next;
      dieMaybe('after a commit', false);
      await pause();
    },
    crashed: () => wreck ?? taken(false),
    stopped: () => ({ files: files.crashed('killed'), store }),
  };
}
