import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Operations } from '../service/operations.ts';
import type { Stranger } from '../service/refusals.ts';
import type { KmsError } from '../core/errors.ts';
import type { WayIn } from './connection.ts';
import { once } from 'node:events';
import { peerOf, wayIn } from './connection.ts';
import { errorOf } from './errors.ts';
import { renderError } from './render.ts';
import { isHandshaking } from './tls.ts';

export interface RefuseBrokenDeps {
  readonly operations: Pick<Operations, 'refused'>;
  readonly telemetry: Telemetry;
  readonly newId: () => string;
}

/** Refuses what is not even HTTP in the same envelope as all else, and closes the connection behind it. */
export interface RefuseBroken {
  /** Each answer has to be told when its request begins: what is broken is answered behind those that are still to come. */
  noteBegun(answer: ServerResponse): void;
  refuse(fault: Error, socket: Socket): Promise<void>;
}

/** The answer that was begun last on a connection, and the one before it that is still to come. */
interface Begun {
  readonly answer: ServerResponse;
  readonly before: ServerResponse | undefined;
}

export function makeRefuseBroken({ operations, telemetry, newId }: RefuseBrokenDeps): RefuseBroken {
  const latest = new WeakMap<Socket, Begun>();
  const broken = new WeakSet<Socket>();

  return {
    noteBegun(answer) {
      const { socket } = answer.req;
      const before = latest.get(socket)?.answer;
      latest.set(socket, { answer, before: before?.closed === false ? before : undefined });
    },

    async refuse(fault, socket) {
      if (isHandshaking(socket)) {
        // Counted as a handshake that came to nothing; nobody is there yet who could read an answer.
        socket.destroy();
        return;
      }
      // Each piece that comes after it is as broken.
      if (broken.has(socket)) return;
      broken.add(socket);
      const { answer, before } = latest.get(socket) ?? {};
      if (answer?.req.complete === false && answer.headersSent) {
        // It was answered already, before all of it was there; a second answer would be taken for that of another request.
        socket.destroy();
        return;
      }
      // A request that did not come together is what is answered here.
      const last = answer?.req.complete === true ? answer : before;
      if (last !== undefined && !last.closed) await once(last, 'close');

      const requestId = newId();
      const refusal = errorOf(fault);
      telemetry.refused({ refusal, requestId, corrId: requestId, peer: peerOf({ socket }) });
      await operations.refused(refusal, strangerOf(requestId, wayIn({ socket })));
      if (socket.writable) socket.end(rawAnswer(refusal, requestId));
      else socket.destroy();
    },
  };
}

/** Of a request that nobody has vouched for, nothing that it says of itself is passed on. */
export function strangerOf(requestId: string, { via, peer }: Pick<WayIn, 'via' | 'peer'>): Stranger {
  return { corrId: requestId, requestId, actor: { via, peer } };
}

/** The last answer of a connection on which no request came together. */
function rawAnswer(refusal: KmsError, requestId: string): string {
  const body = JSON.stringify(renderError(refusal, requestId));
  const head = [
    `HTTP/1.1 ${refusal.status} ${refusal.code}`, 'content-type: application/json; charset=utf-8', `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`, `x-corr-id: ${requestId}`, 'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
