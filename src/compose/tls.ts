import type { FastifyInstance } from 'fastify';
import type { Server } from 'node:https';
import type { Settings } from '../config/keys.ts';
import type { TlsSettings } from '../http/tls.ts';
import type { Clock } from '../ports/clock.ts';
import { openCertificate } from '../adapters/tls/certificate.ts';
import { secureContext } from '../http/tls.ts';

const DAY_MS = 86_400_000;
/** The seed's rotation (SECURITY.md §4). */
const LIFETIME_MAX_MS = 90 * DAY_MS;
const SOON_MS = 7 * DAY_MS;

/** TLS of the API, with the certificate that its files have by now. */
export interface Tls {
  readonly settings: TlsSettings;
  /** Shows a new certificate to new connections, when there is one; to be called about once a second. True when it did. */
  refresh(app: FastifyInstance): Promise<boolean>;
  /** What is weaker than it should be, as it stands. */
  weaknesses(): readonly string[];
}

/** Undefined where the settings name no certificate. Throws with what is wrong with it. */
export function openTls(settings: Settings, clock: Clock): Tls | undefined {
  const { 'tls.cert_path': certPath, 'tls.key_path': keyPath, 'tls.client_ca_path': clientCaPath } = settings;
  if (certPath === undefined || keyPath === undefined) return undefined;
  const certificate = openCertificate({ certPath, keyPath, clientCaPath });
  const how = { asksClients: clientCaPath !== undefined, requiresClients: settings['tls.require_client_cert'], requiresPq: settings['tls.require_pq'] };
  return {
    settings: { context: certificate.context(), ...how },
    async refresh(app) {
      if (!(await certificate.refresh())) return false;
      // What is left out goes back to its default: all of it is given again.
      (app.server as Server).setSecureContext(secureContext({ context: certificate.context(), ...how }));
      return true;
    },
    weaknesses() {
      const { toMs, lifetimeMs } = certificate.validity();
      const leftMs = toMs - clock.wallMs();
      return [
        ...(certificate.isCurrent() ? [] : ['the files of tls.cert_path, tls.key_path or tls.client_ca_path cannot be used together: the certificate of before is still shown']),
        ...(leftMs < 0 ? ['the certificate in tls.cert_path has expired'] : leftMs < SOON_MS && leftMs < lifetimeMs / 3 ? [`the certificate in tls.cert_path expires within ${Math.ceil(leftMs / DAY_MS)} days`] : []),
        ...(lifetimeMs > LIFETIME_MAX_MS + DAY_MS ? ['the certificate in tls.cert_path was made for more than 90 days'] : []),
      ];
    },
  };
}
