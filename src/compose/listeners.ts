import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Address } from '../config/kinds.ts';
import type { Settings } from '../config/keys.ts';
import type { HttpApi } from '../http/server.ts';
import { once } from 'node:events';
import { openUnixSocket } from './unix-socket.ts';

/** Where the service listens: the API on TCP and perhaps on a Unix socket, and the operators' pages. */
export interface Listeners {
  readonly apiUrl: string;
  readonly metricsUrl: string;
  isOpen(): boolean;
  /** Takes no more: what is under way is answered and its connection closed behind it; what takes longer than the drain is cut off. */
  stopIntake(): Promise<void>;
  /** Ends the operators' pages too. */
  close(): void;
}

/** DESIGN §9. */
const DRAIN_MS = 3000;

/** All or none. */
export async function openListeners(settings: Settings, api: HttpApi, operator: Server): Promise<Listeners> {
  const { app } = api;
  const apiUrl = await listen(settings['tls.cert_path'] === undefined ? 'http' : 'https', settings['bind_addr'], ({ host, port }) => app.listen({ host, port }).then(() => app.server.address()));
  const metricsUrl = await listen('http', settings['metrics_addr'], async ({ host, port }) => {
    operator.listen(port, host);
    await once(operator, 'listening');
    return operator.address();
  }).catch(async (fault: unknown) => {
    await app.close();
    throw fault;
  });
  const unixSocket = await openUnixSocket(settings, api).catch(async (fault: unknown) => {
    operator.close();
    await app.close();
    throw fault;
  });

  let isOpen = true;
  return {
    apiUrl, metricsUrl,
    isOpen: () => isOpen,
    async stopIntake() {
      // Model: [drain].
      isOpen = false;
      const cutOff = setTimeout(api.cutOff, DRAIN_MS);
      await Promise.all([app.close(), unixSocket && closed(unixSocket)]);
      clearTimeout(cutOff);
    },
    close() {
      operator.close();
      operator.closeAllConnections();
    },
  };
}

async function closed(server: Server): Promise<void> {
  const end = once(server, 'close');
  server.close();
  await end;
}

async function listen(scheme: 'http' | 'https', address: Address, open: (address: Address) => Promise<AddressInfo | string | null>): Promise<string> {
  const bound = await open(address);
  if (bound === null || typeof bound === 'string') throw new Error('bound to no port');
  return `${scheme}://${address.host.includes(':') ? `[${address.host}]` : address.host}:${bound.port}`;
}
