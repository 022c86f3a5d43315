import type { SecureContextOptions } from 'node:tls';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

export interface CertificatePaths {
  readonly certPath: string;
  readonly keyPath: string;
  readonly clientCaPath: string | undefined;
}

/** The certificate that the service shows, as its files have it. */
export interface ServerCertificate {
  context(): SecureContextOptions;
  /** Until when it is good, and for how long it was made; milliseconds. */
  validity(): { readonly toMs: number; readonly lifetimeMs: number };
  /** False while the files hold something that cannot be used; what was good before stays. */
  isCurrent(): boolean;
  /** Looks whether the files changed, and says whether something new is to be shown; to be called about once a second. */
  refresh(): Promise<boolean>;
}

interface Loaded {
  readonly context: SecureContextOptions;
  readonly validity: { readonly toMs: number; readonly lifetimeMs: number };
}

const OTHERS = 0o077;

/** Throws, naming the file, when they do not make a certificate that can be shown. They are swapped together or not at all. */
export function openCertificate(paths: CertificatePaths): ServerCertificate {
  let loaded = load(paths);
  let mark = markNow(paths);
  let isCurrent = true;
  return {
    context: () => loaded.context,
    validity: () => loaded.validity,
    isCurrent: () => isCurrent,
    async refresh() {
      try {
        const found = await markOf(paths);
        if (isCurrent && found === mark) return false;
        loaded = load(paths);
        mark = found;
        isCurrent = true;
        return true;
      } catch {
        // Half of a pair, perhaps: the next look may find both.
        isCurrent = false;
        return false;
      }
    },
  };
}

function load({ certPath, keyPath, clientCaPath }: CertificatePaths): Loaded {
  if ((statSync(keyPath).mode & OTHERS) !== 0) throw new Error(`others may read ${keyPath}: chmod 600 it`);
  const [cert, key, ca] = [readFileSync(certPath), readFileSync(keyPath), clientCaPath === undefined ? undefined : readFileSync(clientCaPath)];
  const leaf = parsed(() => new X509Certificate(cert), `${certPath} is not a certificate in PEM`);
  const own = parsed(() => createPrivateKey(key), `${keyPath} is not a private key in PEM without a passphrase`);
  if (!leaf.checkPrivateKey(own)) throw new Error(`the key in ${keyPath} is not that of the certificate in ${certPath}`);
  if (ca !== undefined) parsed(() => new X509Certificate(ca), `${clientCaPath} holds no certificate in PEM`);
  const [fromMs, toMs] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  if (toMs < Date.now()) throw new Error(`the certificate in ${certPath} has expired`);
  const context = { cert, key, ...(ca && { ca }) };
  // What only OpenSSL would refuse, it refuses now and not with the first connection.
  createSecureContext(context);
  return { context, validity: { toMs, lifetimeMs: toMs - fromMs } };
}

function parsed<T>(parse: () => T, says: string): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(says, { cause });
  }
}

function pathsOf({ certPath, keyPath, clientCaPath }: CertificatePaths): readonly string[] {
  return [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
}

function markNow(paths: CertificatePaths): string {
  return pathsOf(paths).map((path) => textOf(statSync(path))).join();
}

async function markOf(paths: CertificatePaths): Promise<string> {
  return (await Promise.all(pathsOf(paths).map((path) => stat(path)))).map(textOf).join();
}

function textOf({ ino, mtimeMs, ctimeMs, size, mode }: { readonly ino: number; readonly mtimeMs: number; readonly ctimeMs: number; readonly size: number; readonly mode: number }): string {
  return `${ino} ${mtimeMs} ${ctimeMs} ${size} ${mode}`;
}
