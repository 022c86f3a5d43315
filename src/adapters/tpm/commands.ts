import type { TpmLink } from './link.ts';
import type { TpmReader } from './marshal.ts';
import type { Point, Session } from './sessions.ts';
import { randomBytes } from 'node:crypto';
import { faultOf, TpmFault } from './faults.ts';
import { readerOf, sized, u16, u32, u8 } from './marshal.ts';
import { authorise, makeSalt, NONCE_BYTES, sessionKey, withoutZerosAtEnd } from './sessions.ts';

/** TPM_CC, TPM 2.0 Part 2 §6.5.2; Part 3 has each one's handles and parameters. */
export const COMMANDS = {
  NV_UndefineSpace: 0x122, CreatePrimary: 0x131, NV_Increment: 0x134, NV_DefineSpace: 0x12a, NV_Write: 0x137, NV_WriteLock: 0x138, NV_Read: 0x14e, Create: 0x153,
  Load: 0x157, Quote: 0x158, Unseal: 0x15e, FlushContext: 0x165, NV_ReadPublic: 0x169, PolicyAuthValue: 0x16b, ReadPublic: 0x173, StartAuthSession: 0x176,
  GetCapability: 0x17a, PCR_Read: 0x17e, PolicyPCR: 0x17f,
} as const;
type CommandName = keyof typeof COMMANDS;

export const SHA256 = 0x000b;
export const NULL_ALG = 0x0010;
export const OWNER = 0x40000001;
const NULL_HANDLE = 0x40000007;
const PLAIN = 0x8001;
const WITH_SESSIONS = 0x8002;
const HEADER_BYTES = 10;
const PASSWORD_SESSION = 0x40000009;
const AES = 0x0006;
const CFB = 0x0043;

export interface Handle {
  readonly handle: number;
  /** What stands for it in an HMAC: of an object the hash of its public area, else the handle. */
  readonly name: Buffer;
}

export function fixedHandle(handle: number): Handle {
  return { handle, name: u32(handle) };
}

interface Command {
  readonly handles?: readonly Handle[];
  /** Of the first handle. A password is empty: nothing secret goes over the bus as it is. */
  readonly session?: Session | 'empty password';
  readonly parameters?: Buffer;
  /** How many handles stand before the answer's parameters. */
  readonly answersHandle?: boolean;
}

interface Answer {
  readonly handle: number;
  readonly parameters: TpmReader;
}

/** A TPM asks to be asked again when it is busy with itself. */
const TRIES = 20;
const AGAIN_MS = 25;

export interface TpmCommands {
  run(name: CommandName, command: Command): Promise<Answer>;
  /** Lets go of an object or session; one that is gone already is no fault. */
  flush(handle: number): Promise<void>;
  /** A session of one command; `to` encrypts its salt, which hides what is sent under it from whoever reads the bus. */
  startSession(kind: 'hmac' | 'policy', use: { readonly authValue?: Buffer; readonly isAuthShown?: boolean; readonly attributes?: number; readonly saltedTo?: Handle & { readonly point: Point } }): Promise<Session>;
}

export function commandsOver(link: TpmLink): TpmCommands {
  const runOnce = async (name: CommandName, { handles = [], session, parameters = Buffer.alloc(0), answersHandle = false }: Command): Promise<Answer> => {
    const code = COMMANDS[name];
    const authorised = session === undefined || session === 'empty password' ? undefined : authorise(session, code, handles.map((one) => one.name), parameters);
    const area = session === 'empty password' ? Buffer.concat([u32(PASSWORD_SESSION), u16(0), u8(0), u16(0)]) : authorised?.area;
    const body = Buffer.concat([
      ...handles.map(({ handle }) => u32(handle)),
      ...(area === undefined ? [] : [u32(area.length), area]),
      authorised?.parameters ?? parameters,
    ]);
    const answer = await link.exchange(Buffer.concat([u16(area === undefined ? PLAIN : WITH_SESSIONS), u32(HEADER_BYTES + body.length), u32(code), body]));
    const reader = readerOf(answer);
    const [tag, length, result] = [reader.u16(), reader.u32(), reader.u32()];
    if (length !== answer.length) throw new TpmFault('answer', 'the TPM gave an answer that is not as long as it says');
    if (result !== 0) throw faultOf(result, name);
    if (tag !== (area === undefined ? PLAIN : WITH_SESSIONS)) throw new TpmFault('answer', 'the TPM gave an answer without the session it was asked in');
    const handle = answersHandle ? reader.u32() : 0;
    if (area === undefined) return { handle, parameters: reader };
    const given = reader.bytes(reader.u32());
    const ends = { nonce: reader.sized(), attributes: reader.u8(), mac: reader.sized() };
    return { handle, parameters: readerOf(authorised === undefined ? given : authorised.readAnswer(result, given, ends)) };
  };

  const run: TpmCommands['run'] = async (name, command) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await runOnce(name, command);
      } catch (fault) {
        // Asked with a nonce of its own each time; it changed nothing when it says this.
        if (!(fault instanceof TpmFault) || fault.kind !== 'busy' || attempt === TRIES) throw fault;
        await new Promise((resolve) => { setTimeout(resolve, AGAIN_MS); });
      }
    }
  };

  return {
    run,
    async flush(handle) {
      await run('FlushContext', { parameters: u32(handle) }).catch(() => undefined);
    },
    async startSession(kind, { authValue = Buffer.alloc(0), isAuthShown = true, attributes = 0, saltedTo }) {
      const { salt, encrypted } = saltedTo === undefined ? { salt: Buffer.alloc(0), encrypted: Buffer.alloc(0) } : makeSalt(saltedTo.point);
      const nonceCaller = randomBytes(NONCE_BYTES);
      const { handle, parameters } = await run('StartAuthSession', {
        handles: [saltedTo ?? fixedHandle(NULL_HANDLE), fixedHandle(NULL_HANDLE)],
        parameters: Buffer.concat([sized(nonceCaller), sized(encrypted), u8(kind === 'policy' ? 1 : 0), u16(AES), u16(128), u16(CFB), u16(SHA256)]),
        answersHandle: true,
      });
      const nonceTpm = parameters.sized();
      const key = sessionKey(salt, nonceTpm, nonceCaller);
      salt.fill(0);
      return { handle, key, authValue: withoutZerosAtEnd(authValue), isAuthShown, attributes, nonceTpm };
    },
  };
}
