import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { createCircuit } from '../core/circuit.ts';
import { KmsError } from '../core/errors.ts';
import { reasonOf } from '../core/reason.ts';
import { BackendGone } from '../ports/custody.ts';

/** A custody that is given up when it does not answer, left alone while it is gone, and asked again by and by. */
export interface GuardedCustody extends Custody {
  /** It does its work, as far as anybody knows. */
  isReady(): boolean;
  /** Since it was last known to do its work, in milliseconds; undefined while it does. What is known of its keys is so old. */
  outForMs(): number | undefined;
  /** Throws `StoreUnavailable` while it is gone: before anything is charged or waited for. */
  require(): void;
  /** Asks it whether it is there; to be called about once a second. */
  tick(): Promise<void>;
  /** Calls that it has not answered. */
  busy(): number;
  /** How often it has come back. */
  reconnects(): number;
}

export interface CustodyGuardDeps {
  readonly custody: Custody;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly chance: () => number;
  readonly telemetry: Pick<Telemetry, 'event'>;
}

/** DESIGN §9 for what a client waits for; making a key and erasing one may take hardware longer. */
const DEADLINE_MS = { sign: 2000, sealAead: 2000, open: 2000, generate: 4000, erase: 4000, probe: 2000 } as const;
/** One slow call is one slow call. */
const CIRCUIT = { failuresMax: 3, firstWaitMs: 500, longestWaitMs: 15_000 };
const MS_NS = 1_000_000n;

/** Holds each call to its deadline (`Timeout`). Behind one that says that the backend is gone, or some that were too slow, nothing goes there until a probe was answered. */
export function guardCustody({ custody, clock, chance, telemetry }: CustodyGuardDeps): GuardedCustody {
  const circuit = createCircuit({ ...CIRCUIT, chance });
  let lastGoodNs = clock.monotonicNs();
  let waitMs = 0;
  let busy = 0;
  let reconnects = 0;

  const unavailable = (cause?: unknown): KmsError =>
    new KmsError('StoreUnavailable', { hint: 'the backend that holds the keys does not answer; verify goes on, and /readyz says when it is back', retryAfterS: Math.ceil(waitMs / 1000) || 1, cause });

  const failed = (why: unknown): void => {
    const wasClosed = circuit.isClosed();
    circuit.failed(clock.monotonicNs());
    if (wasClosed && !circuit.isClosed()) telemetry.event('error', 'backend_out', { why: reasonOf(why) });
  };

  const succeeded = (): void => {
    lastGoodNs = clock.monotonicNs();
    if (!circuit.isClosed()) {
      reconnects++;
      telemetry.event('info', 'backend_back');
    }
    circuit.succeeded();
    waitMs = 0;
  };

  /** What comes after the deadline is nobody's any more: `late` sees to it. */
  const within = <T>(limitMs: number, work: () => Promise<T>, late: (result: T) => unknown): Promise<T> => new Promise((resolve, reject) => {
    let isOver = false;
    busy++;
    const timer = setTimeout(() => {
      isOver = true;
      reject(new KmsError('Timeout', { hint: `the backend that holds the keys did not answer within ${limitMs / 1000} s` }));
    }, limitMs);
    const end = (): void => {
      busy--;
      clearTimeout(timer);
    };
    work().then((result) => {
      end();
      if (isOver) void late(result);
      else resolve(result);
    }, (fault: unknown) => {
      end();
      reject(fault);
    });
  });

  const requireClosed = (): void => {
    if (!circuit.isClosed()) throw unavailable();
  };

  const guarded = async <T>(limitMs: number, work: () => Promise<T>, late: (result: T) => unknown): Promise<T> => {
    requireClosed();
    try {
      return await within(limitMs, work, late);
    } catch (fault) {
      if (fault instanceof BackendGone) {
        failed(fault);
        throw unavailable(fault);
      }
      // A custody that cannot be probed is in this process: it is slow with all the rest.
      if (custody.probe !== undefined && fault instanceof KmsError && fault.code === 'Timeout') failed(fault);
      throw fault;
    }
  };

  const probe = async (ask: () => Promise<void>): Promise<void> => {
    if (!circuit.isClosed()) {
      const leftMs = circuit.enter(clock.monotonicNs());
      if (leftMs !== undefined) {
        waitMs = leftMs;
        return;
      }
    }
    await within(DEADLINE_MS.probe, ask, ignore).then(succeeded, failed);
  };

  return {
    sign: (version, schemes, message, context) => guarded(DEADLINE_MS.sign, () => custody.sign(version, schemes, message, context), ignore),
    sealAead: (version, aead, nonce, aad, plaintext) => guarded(DEADLINE_MS.sealAead, () => custody.sealAead(version, aead, nonce, aad, plaintext), ignore),
    open: (version, spec, envelope, aad) => guarded(DEADLINE_MS.open, () => custody.open(version, spec, envelope, aad), (plaintext) => plaintext?.fill(0)),
    generate: (kid, spec) => guarded(DEADLINE_MS.generate, () => custody.generate(kid, spec), () => custody.erase({ kid }).catch(ignore)),
    erase: (version) => guarded(DEADLINE_MS.erase, () => custody.erase(version), ignore),
    isReady: circuit.isClosed,
    outForMs: () => (circuit.isClosed() ? undefined : Number((clock.monotonicNs() - lastGoodNs) / MS_NS)),
    require: requireClosed,
    tick: async () => custody.probe && probe(custody.probe),
    busy: () => busy,
    reconnects: () => reconnects,
  };
}

function ignore(): void {}
