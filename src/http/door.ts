import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { KmsError } from '../core/errors.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import { corrIdFrom, peerOf } from './connection.ts';
import { renderError } from './render.ts';

export interface DoorDeps {
  readonly operations: Pick<Operations, 'refused'>;
  readonly telemetry: Telemetry;
  readonly newId: () => string;
}

/**
 * Who was just turned away because too much waits is turned away at the door for a moment: before the token is verified
 * again and the body looked at, so that refusing a flood takes little from the work. Only the very token and path that
 * were good a moment ago are known there, so nobody else is held back, and nobody learns whether a token is good.
 */
export interface Door {
  /** The handler behind it. */
  before(handle: RequestListener): RequestListener;
  note(request: IncomingMessage, refusal: KmsError, caller: Caller | undefined): void;
}

interface TurnedAway {
  readonly refusal: KmsError;
  readonly caller: Caller;
  readonly untilMs: number;
}

/** A part of what waits at most is done by then (service/work-queue.ts), so nothing stands idle meanwhile. */
const MOMENT_MS = 5;
const KEPT_MAX = 1024;

export function makeDoor({ operations, telemetry, newId }: DoorDeps): Door {
  const turnedAway = new Map<string, TurnedAway>();

  const refuse = async (request: IncomingMessage, response: ServerResponse, { refusal, caller }: TurnedAway): Promise<void> => {
    const requestId = newId();
    const corrId = corrIdFrom(request, requestId);
    telemetry.refused({ refusal, requestId, corrId, peer: peerOf(request) });
    const recorded = operations.refused(refusal, { ...caller, requestId, corrId }, undefined);
    if (recorded !== undefined) await recorded;
    const body = JSON.stringify(renderError(refusal, requestId));
    response.writeHead(refusal.status, {
      'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store',
      'x-request-id': requestId, 'x-corr-id': corrId, 'retry-after': String(refusal.retryAfterS ?? 1),
    }).end(body);
  };

  return {
    before: (handle) => (request, response) => {
      if (turnedAway.size > 0) {
        const name = nameOf(request);
        const found = turnedAway.get(name);
        if (found !== undefined) {
          if (found.untilMs > performance.now()) {
            refuse(request, response, found).catch(() => response.destroy());
            return;
          }
          turnedAway.delete(name);
        }
      }
      handle(request, response);
    },
    note(request, refusal, caller) {
      if (refusal.queue === undefined || caller === undefined) return;
      if (turnedAway.size >= KEPT_MAX) turnedAway.clear();
      turnedAway.set(nameOf(request), { refusal, caller, untilMs: performance.now() + MOMENT_MS });
    },
  };
}

function nameOf({ method, url, headers: { authorization } }: IncomingMessage): string {
  return `${method} ${url} ${authorization}`;
}
