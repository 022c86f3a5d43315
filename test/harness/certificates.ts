// The package asks for it to be loaded first.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

x509.cryptoProvider.set(webcrypto);
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

interface Issued {
  readonly certPath: string;
  readonly keyPath: string;
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Issuer {
  readonly caPath: string;
  readonly caPem: string;
  issue(name: string, options?: { readonly names?: readonly { readonly type: 'dns' | 'url' | 'ip'; readonly value: string }[]; readonly days?: number; readonly fromMs?: number }): Promise<Issued>;
}

/** A CA of its own, with its files in `directory`. */
export async function makeIssuer(directory: string, name: string): Promise<Issuer> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`, keys, signingAlgorithm: EC, notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + 30 * DAY_MS),
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
  });
  const caPath = join(directory, `${name}.pem`);
  const caPem = ca.toString('pem');
  writeFileSync(caPath, caPem);
  return {
    caPath, caPem,
    async issue(subject, { names = [{ type: 'dns', value: 'localhost' }, { type: 'ip', value: '127.0.0.1' }], days = 30, fromMs = Date.now() - 60_000 } = {}) {
      const own = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${subject}`, issuer: ca.subject, signingKey: keys.privateKey, publicKey: own.publicKey, signingAlgorithm: EC,
        notBefore: new Date(fromMs), notAfter: new Date(fromMs + days * DAY_MS),
        extensions: [new x509.SubjectAlternativeNameExtension([...names])],
      });
      const certPem = certificate.toString('pem');
      const keyPem = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', own.privateKey), 'PRIVATE KEY');
      const [certPath, keyPath] = [join(directory, `${subject}.crt`), join(directory, `${subject}.key`)];
      writeFileSync(certPath, certPem);
      writeFileSync(keyPath, keyPem, { mode: 0o600 });
      return { certPath, keyPath, certPem, keyPem };
    },
  };
}
