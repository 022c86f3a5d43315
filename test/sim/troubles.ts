import type { Chance } from './chance.ts';
import type { Clients } from './clients.ts';
import type { Conditions } from './conditions.ts';
import { SLOW_MS } from './conditions.ts';

export interface TroublesDeps {
  readonly conditions: Conditions;
  readonly chance: Chance;
  readonly sleep: (ms: number) => Promise<void>;
  readonly trace: (line: string) => void;
  readonly operator: Clients['operator'];
  readonly stop: () => Promise<void>;
  readonly changeLogKeys: () => Promise<void>;
}

export interface Troubles {
  /** One of them, from its beginning to its end. */
  one(): Promise<void>;
  /** The operator says that the clock is right, until the service has heard it. */
  acceptClock(): Promise<void>;
}

/** What goes wrong around a service: each changes the conditions and takes it back after a while. */
export function createTroubles({ conditions, chance, sleep, trace, operator, stop, changeLogKeys }: TroublesDeps): Troubles {
  const { disk } = conditions;

  const acceptClock = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) {
      const reply = await operator('POST', '/admin/accept-clock');
      trace(`accept-clock ${reply === 'lost' ? reply : 'answer' in reply ? 'ok' : reply.refused}`);
      if (reply !== 'lost' && 'answer' in reply) return;
      await sleep(5000);
    }
  };

  const troubles: readonly (() => Promise<void>)[] = [
    // In the middle of what is just being written, or a little later.
    async () => { disk.diesIn = 1 + chance.below(80); },
    async () => { disk.diesIn = 1 + chance.below(8); },
    async () => {
      disk.failing = chance.one([2, 10, 40, 100]);
      trace(`disk fails ${disk.failing} of 100`);
      await sleep(200 + 8000 * chance.next());
      disk.failing = 0;
      trace('disk is well');
    },
    async () => {
      disk.slowMs = chance.one([20, 200, 1500]);
      trace(`disk is slow ${disk.slowMs}`);
      await sleep(1000 + 20_000 * chance.next());
      disk.slowMs = SLOW_MS;
    },
    async () => {
      conditions.backend = chance.one(['slow', 'gone', 'hangs'] as const);
      trace(`backend is ${conditions.backend}`);
      await sleep(500 + 40_000 * chance.next());
      conditions.backend = 'well';
    },
    async () => {
      for (let i = 0; i < 6; i++) {
        conditions.backend = i % 2 === 0 ? 'gone' : 'well';
        await sleep(300 * chance.next());
      }
      conditions.backend = 'well';
    },
    async () => {
      conditions.isAnchorOut = true;
      conditions.anchorOutMs = chance.one([0, 500, 10_000]);
      trace(`anchor is out ${conditions.anchorOutMs}`);
      await sleep(500 + 20_000 * chance.next());
      conditions.isAnchorOut = false;
    },
    async () => {
      const byMs = chance.one([-3_600_000, -5000, 900, 5000, 7_200_000]);
      conditions.steppedMs += byMs;
      trace(`clock steps ${byMs}`);
      await sleep(20_000 + 90_000 * chance.next());
      // What went back is put right again, or the operator says that it is right so.
      if (byMs < 0 && chance.percent(50)) conditions.steppedMs -= byMs;
      else await acceptClock();
    },
    async () => {
      const reply = await operator('POST', '/admin/reload');
      trace(`reload ${JSON.stringify(reply)}`);
    },
    // Half of the times it dies on the way.
    async () => {
      if (chance.percent(50)) disk.diesIn = 1 + chance.below(16);
      await changeLogKeys();
    },
    stop,
  ];

  return { one: () => chance.one(troubles)(), acceptClock };
}
