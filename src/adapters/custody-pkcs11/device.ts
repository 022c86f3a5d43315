import type { ChildProcess } from 'node:child_process';
import type { TokenAnswer, TokenCall, TokenCalls, TokenSettings, ToToken } from './protocol.ts';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { KmsError } from '../../core/errors.ts';
import { BackendGone } from '../../ports/custody.ts';
import { isValueOf, readMessage } from './answers.ts';

/** A token behind its module, in a process of its own. */
export interface TokenDevice extends TokenCalls {
  /** The same calls for who does not probe: one that is gone is started again by them, with a pause behind each try that failed. */
  readonly reviving: TokenCalls;
  /** Ends the process; what is under way is lost. */
  close(): Promise<void>;
}

const PROCESS = fileURLToPath(new URL('token-process.ts', import.meta.url));
const OPEN_MS = 10_000;
/** Less than who asks for a probe waits for it (service/custody-guard.ts). */
const PROBE_MS = 1500;
/** For a call of one who does not probe; making a key takes the longest. */
const PATIENCE_MS = 3000;
const RESTART_FIRST_MS = 500;
const RESTART_LONGEST_MS = 15_000;

interface Asker extends Pick<ReturnType<typeof Promise.withResolvers<unknown>>, 'resolve' | 'reject'> {
  readonly asked: Pick<TokenCall, 'call' | 'args'>;
}

/**
 * Starts the process, in the environment that its module wants, and opens the token; throws with what the operator has to mend. A process that is gone is started again by the
 * next probe, and so is one whose token answers a probe badly or not at all: a module's state cannot be trusted behind that.
 */
export async function openTokenDevice(settings: TokenSettings, environment: Readonly<Record<string, string | undefined>>): Promise<TokenDevice> {
  const asked = new Map<number, Asker>();
  const outbox: TokenCall[] = [];
  let last = 0;
  /** A custody's: behind a restart they are there, or it is another token. */
  let needsOwnKeys = false;
  let failures = 0;
  let mayStartAtMs = 0;
  let isClosed = false;
  let starting: Promise<void> | undefined;
  let child: ChildProcess | undefined;
  child = await start(settings);

  async function start(open: TokenSettings): Promise<ChildProcess> {
    // The pool's threads wait in the module: one for each session.
    const started = fork(PROCESS, [], {
      serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: ['--disable-warning=ExperimentalWarning'],
      env: { ...environment, UV_THREADPOOL_SIZE: String(open.sessions + 1) },
    });
    started.once('exit', () => lose(started));
    started.once('error', () => lose(started));
    tell(started, { open });
    const timer = setTimeout(() => started.kill('SIGKILL'), OPEN_MS);
    const first = await Promise.race([once(started, 'message') as Promise<[unknown]>, once(started, 'exit').then(() => undefined)]);
    clearTimeout(timer);
    const answer = readMessage(first?.[0]);
    if (answer === undefined || !('opened' in answer)) {
      started.kill('SIGKILL');
      throw new BackendGone(answer !== undefined && 'refused' in answer ? answer.refused : `the module ${open.modulePath} did not open its token`);
    }
    started.on('message', hear);
    return started;
  }

  /** A token may take longer to open than anybody waits for a probe: there is one process of it all the same. */
  function restart(): Promise<void> {
    starting ??= start(settings).then(async (started) => {
      if (isClosed) {
        started.kill('SIGKILL');
        return;
      }
      child = started;
      failures = 0;
      // Whatever is there by now, it holds the keys or it is not ours: nothing is made anew.
      if (needsOwnKeys) await send('haveOwnKeys', [false]);
    }).catch((fault: unknown) => {
      mayStartAtMs = performance.now() + Math.min(RESTART_LONGEST_MS, RESTART_FIRST_MS * 2 ** failures++);
      giveUp();
      throw fault;
    }).finally(() => { starting = undefined; });
    return starting;
  }

  function hear(message: unknown): void {
    const read = readMessage(message);
    // What is not of the protocol comes from a process whose memory is not its own any more.
    if (read === undefined) giveUp();
    else if ('answers' in read) for (const answer of read.answers) settle(answer);
  }

  function settle(answer: TokenAnswer): void {
    const asker = asked.get(answer.id);
    if (asker === undefined) return;
    asked.delete(answer.id);
    if ('fault' in answer && answer.fault === 'gone') {
      asker.reject(new BackendGone(answer.why));
      // What it knows of the token is of another time: handles, sessions, the log-in.
      giveUp();
    } else if ('fault' in answer) asker.reject(notAsItShould(answer.why));
    else if (isValueOf(asker.asked, answer.value)) asker.resolve(answer.value);
    else asker.reject(notAsItShould(`the module gave for ${asker.asked.call} what that never is`));
  }

  function giveUp(): void {
    const given = child;
    if (given === undefined) return;
    lose(given);
    given.kill('SIGKILL');
  }

  /** What was asked of it is never answered. */
  function lose(ended: ChildProcess): void {
    if (ended !== child) return;
    child = undefined;
    for (const { reject } of asked.values()) reject(new BackendGone('the process of the module has ended'));
    asked.clear();
  }

  function tell(to: ChildProcess, message: ToToken): void {
    to.send(message, (fault) => { if (fault !== null) lose(to); });
  }

  /** What is asked in this turn of the loop goes in one message. */
  function send(call: keyof TokenCalls, args: readonly unknown[]): Promise<never> {
    if (child === undefined) return Promise.reject(new BackendGone('the process of the module is not there'));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    asked.set(++last, { resolve, reject, asked: { call, args } });
    if (outbox.push({ id: last, call, args }) === 1) setImmediate(flush);
    return promise as Promise<never>;
  }

  function flush(): void {
    const calls = outbox.splice(0).filter(({ id }) => asked.has(id));
    if (child !== undefined && calls.length > 0) tell(child, { calls });
  }

  const reviving = async (call: keyof TokenCalls, args: readonly unknown[]): Promise<never> => {
    if (child === undefined && !isClosed && (starting !== undefined || performance.now() >= mayStartAtMs)) await restart();
    // Nobody probes for these, at a stop least of all: a module that hangs is given up here.
    return within(PATIENCE_MS, giveUp, () => send(call, args));
  };

  return {
    ...callsBy(send),
    reviving: callsBy(reviving),
    async probe() {
      if (isClosed) throw new BackendGone('closed');
      // Who asks has its own pauses.
      if (child === undefined) await restart();
      try {
        await within(PROBE_MS, giveUp, () => send('probe', []));
      } catch (fault) {
        giveUp();
        throw fault;
      }
    },
    async haveOwnKeys(mayCreate) {
      // Without them nothing that the process knows of the token counts, and it is thrown away.
      await reviving('haveOwnKeys', [mayCreate]);
      needsOwnKeys = true;
    },
    async close() {
      isClosed = true;
      const ending = child;
      if (ending === undefined) return;
      const gone = once(ending, 'exit');
      giveUp();
      await gone;
    },
  };
}

function notAsItShould(why: string): KmsError {
  return new KmsError('StoreUnavailable', { hint: 'the token does not hold this version, or not as it should', cause: new Error(why) });
}

async function within<T>(limitMs: number, late: () => void, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(late, limitMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

const CALLS = ['probe', 'makeEd25519', 'makeX25519', 'makeAes256', 'sign', 'derive', 'encrypt', 'decrypt', 'destroy', 'haveOwnKeys', 'attributesOf', 'facts', 'readData', 'writeData'] as const satisfies readonly (keyof TokenCalls)[];

function callsBy(ask: (call: keyof TokenCalls, args: readonly unknown[]) => Promise<never>): TokenCalls {
  return Object.fromEntries(CALLS.map((call) => [call, (...args: readonly unknown[]) => ask(call, args)])) as unknown as TokenCalls;
}
