import type { Anchor } from '../../src/ports/anchor.ts';
import type { Random } from '../../src/ports/random.ts';
import type { Telemetry } from '../../src/ports/telemetry.ts';
import type { Anchoring } from '../../src/service/anchoring.ts';
import type { SmallLog } from './small-log.ts';
import type { TestWitness, WitnessOptions } from './witness.ts';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileAnchor } from '../../src/adapters/anchor-file/anchor.ts';
import { createWitnessAnchor } from '../../src/adapters/anchor-witness/anchor.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createAnchoring } from '../../src/service/anchoring.ts';
import { eventOf } from '../contract/audit-log.ts';
import { openSmallLog } from './small-log.ts';
import { makeWitnessKey, readRecords, startWitness } from './witness.ts';

export const INTERVAL_S = 3600;

/** The service's part in anchoring, started once over a log on disk. */
export interface StartedAnchoring {
  readonly log: SmallLog;
  readonly anchoring: Anchoring;
  /** What the operator was told. */
  readonly events: readonly { readonly event: string; readonly [field: string]: unknown }[];
  /** Lets time go by. */
  pass(seconds: number): void;
  /** An outcome and its answer, as a mutation has them; gives the index of the outcome. */
  mutate(): Promise<number>;
}

export async function startAnchoring(log: SmallLog, anchor: Anchor, lots: Partial<Random> = {}): Promise<StartedAnchoring> {
  const events: { event: string; [field: string]: unknown }[] = [];
  const telemetry: Telemetry = { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: (_level, event, fields) => { events.push({ event, ...fields }); } };
  let monotonicNs = 0n;
  const clock = { wallMs: systemClock.wallMs, monotonicNs: () => monotonicNs };
  const anchoring = createAnchoring({ integrity: { fail: () => undefined }, anchor, log, clock, random: { ...createSystemRandom(), ...lots }, telemetry, intervalMs: INTERVAL_S * 1000 });
  await anchoring.start();
  return {
    log, anchoring, events,
    pass: (seconds) => { monotonicNs += BigInt(Math.round(seconds * 1000)) * 1_000_000n; },
    async mutate() {
      const { firstIndex } = await log.append([eventOf('outcome')], { mustFlush: true });
      await anchoring.afterMutation();
      return firstIndex;
    },
  };
}

/** Directories for one log and its anchor, below one that is removed at the end. */
export function makePlaces() {
  const root = mkdtempSync(join(tmpdir(), 'anchoring-'));
  const witnesses: TestWitness[] = [];
  let made = 0;

  const place = () => {
    const directory = join(root, `${made++}`);
    mkdirSync(join(directory, 'medium'), { recursive: true });
    return { directory, medium: join(directory, 'medium'), logPath: join(directory, 'log'), origin: `ron-kms/${made}` };
  };

  return {
    /** A service whose anchor is a file. */
    file() {
      const { medium, logPath, origin } = place();
      const anchorPath = join(medium, 'anchor');
      return {
        medium, logPath, origin, anchorPath,
        start() {
          const log = openSmallLog(logPath, origin);
          return startAnchoring(log, createFileAnchor({ path: anchorPath, origin, mac: log.mac }));
        },
        onFile: () => JSON.parse(readFileSync(anchorPath, 'utf8')) as { readonly value: number; readonly tree_size: number; readonly root_hash: string },
      };
    },
    /** A service whose anchor is a witness; the log has been begun, as the witness has to be given its keys. */
    async witness() {
      const { directory, logPath, origin } = place();
      const options: WitnessOptions = { signer: makeWitnessKey(), logs: new Map([[origin, [openSmallLog(logPath, origin).key]]]), recordPath: join(directory, 'witness.json') };
      let witness = await startWitness(options);
      witnesses.push(witness);
      const { url, port } = witness;
      return {
        logPath, origin, url, options,
        key: options.signer.key,
        witness: () => witness,
        start() {
          const log = openSmallLog(logPath, origin);
          return startAnchoring(log, createWitnessAnchor({ url, key: options.signer.key, logKeys: () => [log.key], clock: systemClock }));
        },
        seenSize: () => readRecords(options.recordPath)[origin]?.size ?? 0,
        async back() {
          witness = await startWitness({ ...options, port });
          witnesses.push(witness);
        },
      };
    },
    async remove() {
      await Promise.all(witnesses.map((witness) => witness.stop()));
      rmSync(root, { recursive: true });
    },
  };
}
