import type { Server, ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { constants } from 'node:crypto';

/** TLS as the API speaks it. */
export interface TlsSettings {
  readonly context: SecureContextOptions;
  /** Certificates of clients are asked for. */
  readonly asksClients: boolean;
  readonly requiresClients: boolean;
  /** `tls.require_pq` */
  readonly requiresPq: boolean;
}

/** Who is at the other end of a connection, as TLS has it. */
export interface ClientCertificate {
  /** SHA-256 of the certificate, lower-case hex: what an `mtls` caveat names. */
  readonly sha256: string;
  /** Its first name: of the URIs and DNS names, else its common name. */
  readonly name: string | undefined;
}

/** In the order of preference (RFC 8446 §4.2.7; draft-ietf-tls-ecdhe-mlkem for the first). */
const GROUPS = { any: 'X25519MLKEM768:X25519:prime256v1', pq: 'X25519MLKEM768' } as const;

export function tlsOptions(settings: TlsSettings, handshakeTimeoutMs: number): ServerOptions {
  return { ...secureContext(settings), requestCert: settings.asksClients, rejectUnauthorized: settings.requiresClients, handshakeTimeout: handshakeTimeoutMs };
}

/** What a handshake is made with; given anew with each new certificate. */
export function secureContext({ context, requiresPq }: TlsSettings): SecureContextOptions {
  return {
    ...context,
    minVersion: 'TLSv1.3',
    ecdhCurve: requiresPq ? GROUPS.pq : GROUPS.any,
    // A resumed session would outlive the CAs it was made under.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** True until a connection over TLS has come about. */
export function isHandshaking(socket: Socket): boolean {
  return 'secureConnecting' in socket && socket.secureConnecting === true;
}

const certificates = new WeakMap<Socket, ClientCertificate>();

/** Reads the certificate of each connection once; one that its CAs do not vouch for ends the connection, also where none is required. */
export function watchHandshakes(server: Server, onFailed: () => void): void {
  server.on('tlsClientError', onFailed);
  server.on('secureConnection', (socket: TLSSocket) => {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return;
    if (!socket.authorized) {
      onFailed();
      socket.destroy();
      return;
    }
    const { fingerprint256, subjectAltName, subject } = certificate;
    certificates.set(socket, { sha256: fingerprint256.replaceAll(':', '').toLowerCase(), name: nameOf(subjectAltName, subject) });
  });
}

export function clientCertificateOf({ socket }: { readonly socket: Socket }): ClientCertificate | undefined {
  return certificates.get(socket);
}

/** As an entry of the log may carry it: without anything to escape, and short. */
const NAME = /^[\w.:/@*-]{1,200}$/;

function nameOf(alternatives: string | undefined, subject: string): string | undefined {
  const names = [
    ...(alternatives ?? '').split(', ').flatMap((one) => /^(?:URI|DNS):(.*)$/.exec(one)?.[1] ?? []),
    ...subject.split('\n').flatMap((one) => /^CN=(.*)$/.exec(one)?.[1] ?? []),
  ];
  return names.find((name) => NAME.test(name));
}
