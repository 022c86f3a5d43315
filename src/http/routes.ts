import type { TSchema } from 'typebox';
import type { Kid } from '../core/key/kid.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import type { Wire } from './schemas.ts';
import { KmsError } from '../core/errors.ts';
import { parseChange, parseCreate, parseDestroy, parseList, parsePatch, parsePathKid, parseRewrap, parseSign, parseUnwrap, parseVerify, parseWrap } from './parse.ts';
import { renderBatch, renderList, renderRewrap, renderSign, renderUnwrap, renderVerify, renderWrap } from './render.ts';
import * as schemas from './schemas.ts';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Below the base path; `{kid}` stands for both ways to write one. */
  readonly path: string;
  readonly summary: string;
  readonly status: number;
  readonly body?: TSchema;
  readonly query?: TSchema;
  readonly answer: TSchema;
  /** Answers the same whatever the method. */
  readonly isOfAnyMethod: boolean;
  handle(caller: Caller, input: RouteInput): Promise<object>;
}

/** The body and query have passed the route's schemas. */
interface RouteInput {
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly query: unknown;
}

/** The calls of DESIGN §3, one row each: schema, parse, operation, render. Nothing is decided here. */
export function makeRoutes(operations: Operations): readonly Route[] {
  return [
    route('POST', '/keys', 'Create a key', schemas.CreateBody, schemas.Key, (caller, body) => operations.create(caller, parseCreate(body)), 201),
    read('/keys', 'List keys', schemas.ListQuery, schemas.KeyList, async (caller, { query }) => renderList(await operations.listKeys(caller, parseList(query)))),
    read('/keys/{kid}', 'Read a key', undefined, schemas.Key, (caller, { kid }) => operations.getKey(caller, kid())),
    ofKid('PATCH', '/keys/{kid}', 'Change labels and rotation schedule', schemas.PatchBody, schemas.Key, (caller, kid, body) => operations.patch(caller, parsePatch(kid, body))),
    ofKid('POST', '/keys/{kid}/rotate', 'Make a new version', schemas.OpIdBody, schemas.RotateAnswer, (caller, kid, body) => operations.rotate(caller, parseChange(kid, body))),
    ofKid('POST', '/keys/{kid}/disable', 'Disable a key or one version', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'disable', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/enable', 'Enable a key or one version', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'enable', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/destroy', 'Schedule a key or one version for destruction', schemas.DestroyBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'destroy', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/restore', 'Undo a scheduled destruction', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'restore', parseDestroy(kid, body))),
    route('POST', '/sign', 'Sign', schemas.SignBody, schemas.SignAnswer, async (caller, body) => renderSign(await operations.sign(caller, body.op_id, parseSign(body)))),
    route('POST', '/verify', 'Verify', schemas.VerifyBody, schemas.VerifyAnswer, async (caller, body) => renderVerify(await operations.verify(caller, parseVerify(body)))),
    route('POST', '/sign/batch', 'Sign up to 256 payloads', schemas.SignBatchBody, schemas.SignBatchAnswer, async (caller, { items }) =>
      renderBatch(await operations.signBatch(caller, items.map((item) => ({ opId: item.op_id, parse: () => parseSign(item) }))), caller.requestId, renderSign)),
    route('POST', '/verify/batch', 'Verify up to 256 bundles', schemas.VerifyBatchBody, schemas.VerifyBatchAnswer, async (caller, { items }) =>
      renderBatch(await operations.verifyBatch(caller, items.map((item) => ({ opId: undefined, parse: () => parseVerify(item) }))), caller.requestId, renderVerify)),
    route('POST', '/wrap', 'Wrap a data key', schemas.WrapBody, schemas.WrapAnswer, async (caller, body) => renderWrap(await operations.wrap(caller, body.op_id, parseWrap(body)))),
    route('POST', '/unwrap', 'Unwrap a data key', schemas.UnwrapBody, schemas.UnwrapAnswer, async (caller, body) => renderUnwrap(await operations.unwrap(caller, parseUnwrap(body)))),
    route('POST', '/rewrap', 'Wrap to the current version, unseen', schemas.RewrapBody, schemas.RewrapAnswer, async (caller, body) => renderRewrap(await operations.rewrap(caller, parseRewrap(body)))),
    read('/token', 'What this token may do', undefined, schemas.Token, async (caller) => operations.readToken(caller)),
    forbidden('/keys/{kid}/private'),
    forbidden('/keys/{kid}/export'),
  ];
}

/** A call with a body. The schema has validated it, so its static type holds. */
function route<B extends TSchema>(method: 'POST' | 'PATCH', path: string, summary: string, body: B, answer: TSchema, handle: (caller: Caller, body: Wire<B>, params: RouteInput['params']) => Promise<object>, status = 200): Route {
  return { method, path, summary, status, body, answer, isOfAnyMethod: false, handle: (caller, input) => handle(caller, input.body as Wire<B>, input.params) };
}

function ofKid<B extends TSchema>(method: 'POST' | 'PATCH', path: string, summary: string, body: B, answer: TSchema, handle: (caller: Caller, kid: Kid, body: Wire<B>) => Promise<object>): Route {
  return route(method, path, summary, body, answer, (caller, value, params) => handle(caller, parsePathKid(params), value));
}

function read<Q extends TSchema>(path: string, summary: string, query: Q | undefined, answer: TSchema, handle: (caller: Caller, input: { readonly kid: () => Kid; readonly query: Wire<Q> }) => Promise<object>): Route {
  return {
    method: 'GET', path, summary, status: 200, ...(query && { query }), answer, isOfAnyMethod: false,
    handle: (caller, input) => handle(caller, { kid: () => parsePathKid(input.params), query: input.query as Wire<Q> }),
  };
}

function forbidden(path: string): Route {
  return { method: 'GET', path, summary: 'Refused: private keys never leave', status: 200, answer: schemas.ErrorAnswer, isOfAnyMethod: true, handle: refuseExport };
}

async function refuseExport(): Promise<object> {
  throw new KmsError('ExportForbidden');
}
