import { isAscii, isUtf8 } from 'node:buffer';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';

/** Where a passphrase may come from; never the command line, which every process of the machine can read. */
export interface PassphraseSources {
  /** The name of a variable, and the environment to look in. */
  readonly variable?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A file descriptor, read to its end. */
  readonly fd?: number | undefined;
  /** `CREDENTIALS_DIRECTORY` of systemd. */
  readonly credentialsDirectory: string | undefined;
  /** The setting that names the variable, for who forgot to set that. */
  readonly setting?: string;
}

/** How a systemd credential with the passphrase is called (DESIGN §10). */
const CREDENTIAL = 'ron-kms.passphrase';
const PASSPHRASE_BYTES_MAX = 1024;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The passphrase from where the operator said, else from systemd; undefined when nobody gives one. */
export function readPassphrase({ variable, environment, fd, credentialsDirectory, setting = 'backends.file.passphrase_env' }: PassphraseSources): Secret | undefined {
  if (fd !== undefined) return passphraseOf(readFd(fd));
  if (variable !== undefined) {
    const text = environment[variable];
    // Whoever wrote the passphrase where its variable's name belongs must not find it in a log.
    if (text === undefined || text === '') throw new Error(`the variable that ${setting} names is not set`);
    return passphraseOf(Buffer.from(text));
  }
  const credential = credentialsDirectory === undefined ? undefined : join(credentialsDirectory, CREDENTIAL);
  return credential !== undefined && existsSync(credential) ? passphraseOf(readFileSync(credential)) : undefined;
}

/**
 * The bytes as a passphrase, taken over: without the newline that ends a line, and in the normal form NFC
 * (RFC 8265 §4.2), so that an é typed on another keyboard is the same é.
 */
export function passphraseOf(bytes: Buffer): Secret {
  const own = new Secret(bytes);
  const line = bytes.subarray(0, endOfLine(bytes));
  if (line.length === 0 || line.length > PASSPHRASE_BYTES_MAX || !isUtf8(line) || line.some((byte) => byte < 0x20 || byte === 0x7f)) {
    own.destroy();
    throw new Error(`a passphrase is one line of UTF-8, 1 to ${PASSPHRASE_BYTES_MAX} bytes`);
  }
  const normal = isAscii(line) ? Buffer.from(line) : Buffer.from(line.toString('utf8').normalize('NFC'));
  own.destroy();
  return new Secret(normal);
}

/** Typed twice alike? Lengths may show, the words not. */
export function isSamePassphrase(one: Secret, other: Secret): boolean {
  return one.read(REVEAL).equals(other.read(REVEAL));
}

/** What makes a new passphrase too easy to guess; undefined when nothing known does. */
export function weaknessOfPassphrase(passphrase: Secret): string | undefined {
  const text = passphrase.read(REVEAL).toString('utf8');
  if (Array.from(text).length < CHARACTERS_MIN) return `it is shorter than ${CHARACTERS_MIN} characters`;
  const guessed = LEET.reduce((plain, [sign, letter]) => plain.replaceAll(sign, letter), text.toLowerCase());
  const left = [text.toLowerCase(), guessed].map(withoutWhatIsTriedFirst);
  if (left.some((rest) => rest.length < UNGUESSED_MIN || new Set(rest).size < DIFFERENT_MIN)) return 'it is made of what is tried first: common words, runs, repetitions';
  return undefined;
}

/** NIST SP 800-63B-4 §3.1.1.2, for a password that stands alone. */
const CHARACTERS_MIN = 15;
const UNGUESSED_MIN = 8;
const DIFFERENT_MIN = 6;
/** Beyond this a passphrase is long enough, whatever it repeats. */
const LOOKED_AT_MAX = 128;

const LEET = [['0', 'o'], ['1', 'i'], ['3', 'e'], ['4', 'a'], ['5', 's'], ['7', 't'], ['@', 'a'], ['$', 's'], ['!', 'i']] as const;
const COMMON = /correct ?horse ?battery ?staple|passphrase|password|passwort|pass|qwert[yz]uiop|qwert[yz]|azerty|asdfghjkl|asdf|zxcvbnm|letmein|welcome|iloveyou|changeme|change|default|secret|admin|administrator|root|master|dragon|monkey|test|ron-?kms|kms|hunter2/g;

function withoutWhatIsTriedFirst(text: string): string {
  const unknown = text.slice(0, LOOKED_AT_MAX).replaceAll(COMMON, ' ').replaceAll(/[\s_.-]+/g, ' ');
  return withoutRuns(unknown).replaceAll(/(.+?)\1+/gs, '$1').replaceAll(' ', '');
}

/** Without `abcd` and `4321`: of three and more neighbours in a row only the first stays. */
function withoutRuns(text: string): string {
  const codes = Array.from(text, (sign) => sign.codePointAt(0) ?? 0);
  const step = (at: number): number => (codes[at] ?? 0) - (codes[at - 1] ?? 0);
  const isInRun = (at: number): boolean => at >= 2 && Math.abs(step(at)) === 1 && step(at) === step(at - 1);
  return codes.filter((_, at) => !isInRun(at) && !isInRun(at + 1)).map((code) => String.fromCodePoint(code)).join('');
}

function endOfLine(bytes: Buffer): number {
  const end = bytes.at(-1) === NEWLINE ? bytes.length - 1 : bytes.length;
  return end > 0 && bytes[end - 1] === RETURN ? end - 1 : end;
}

function readFd(fd: number): Buffer {
  try {
    return readFileSync(fd);
  } catch (fault) {
    throw new Error('the passphrase cannot be read from the file descriptor that backends.file.passphrase_fd names', { cause: fault });
  }
}
