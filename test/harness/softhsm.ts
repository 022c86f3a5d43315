import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MODULES = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so', '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so'];

/** Where SoftHSM2's module lies; undefined where it, its tools or the binding are not installed. */
export const SOFTHSM_MODULE = isBindingHere() ? MODULES.find((path) => existsSync(path)) : undefined;
export const SOFTHSM_MISSING = 'SKIPPED: keys in a PKCS #11 token. It needs SoftHSM2 (apt-get install softhsm2 opensc) and the optional package pkcs11js (npm ci where there is a C++ compiler)';
export const PIN = 'otter-lantern';
export const LABEL = 'kms';

function isBindingHere(): boolean {
  try {
    createRequire(import.meta.url)('pkcs11js');
    return true;
  } catch {
    return false;
  }
}

/** The same but for its last digit. */
function other(text: string): string {
  return text.replace(/.$/, text.endsWith('0') ? '1' : '0');
}

/** A token of SoftHSM2 in a directory of its own. */
export interface SoftToken {
  readonly modulePath: string;
  /** For the processes that use it. */
  readonly env: Readonly<Record<string, string>>;
  /** As if it was pulled out, and put back. */
  remove(): void;
  putBack(): void;
  /** Another token of the same label, without any key. */
  replaceByEmpty(): void;
  /** A second token beside it, under another label, with all that is in the first as it is now. */
  cloneAs(label: string): void;
  /** Out and back, of one of them. */
  removeOne(label: string): void;
  putBackOne(label: string): void;
  /** Of all objects there are. */
  labels(): readonly string[];
  drop(): void;
}

export function makeSoftToken(): SoftToken {
  if (SOFTHSM_MODULE === undefined) throw new Error(SOFTHSM_MISSING);
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-softhsm-'));
  const tokens = join(root, 'tokens');
  const places = new Map<string, string>();
  const env = { SOFTHSM2_CONF: join(root, 'softhsm2.conf') };
  writeFileSync(env.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const init = (): void => {
    mkdirSync(tokens);
    execFileSync('softhsm2-util', ['--init-token', '--free', '--label', LABEL, '--so-pin', 'so-pin-of-test', '--pin', PIN], { env: { ...process.env, ...env }, stdio: 'pipe' });
  };
  init();
  return {
    modulePath: SOFTHSM_MODULE, env,
    remove: () => renameSync(tokens, `${tokens}-away`),
    putBack: () => renameSync(`${tokens}-away`, tokens),
    replaceByEmpty() {
      rmSync(tokens, { recursive: true });
      init();
    },
    cloneAs(label) {
      const [first = ''] = readdirSync(tokens);
      const serial = first.replaceAll('-', '').slice(-16);
      cpSync(join(tokens, first), join(tokens, other(first)), { recursive: true });
      const path = join(tokens, other(first), 'token.object');
      const bytes = readFileSync(path);
      Buffer.from(label.padEnd(32)).copy(bytes, bytes.indexOf(LABEL.padEnd(32)));
      Buffer.from(other(serial)).copy(bytes, bytes.indexOf(serial));
      writeFileSync(path, bytes);
      places.set(LABEL, first).set(label, other(first));
    },
    removeOne: (label) => renameSync(join(tokens, places.get(label) ?? ''), join(root, `${places.get(label)}-away`)),
    putBackOne: (label) => renameSync(join(root, `${places.get(label)}-away`), join(tokens, places.get(label) ?? '')),
    labels: () => execFileSync('pkcs11-tool', ['--module', SOFTHSM_MODULE ?? '', '--token-label', LABEL, '--login', '--pin', PIN, '--list-objects'], { env: { ...process.env, ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n').flatMap((line) => /^\s+label:\s+(.*)$/.exec(line)?.[1] ?? []),
    drop: () => rmSync(root, { recursive: true, force: true }),
  };
}
