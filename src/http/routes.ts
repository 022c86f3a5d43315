import type { TSchema } from 'typebox';
import type { Kid } from '../core/key/kid.ts';
import type { Op } from '../core/log/entry.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import type { Wire } from './schemas.ts';
import { KmsError } from '../core/errors.ts';
import { parseChange, parseCreate, parseDestroy, parseList, parsePatch, parsePathKid, parseRecords, parseRewrap, parseSign, parseTile, parseUnwrap, parseVerify, parseWrap } from './parse.ts';
import { cacheAgeOf, renderAcceptClock, renderAuditKeys, renderBackup, renderBackupState, renderBatch, renderList, renderLogKeys, renderRecords, renderRekey, renderRekeyState, renderReload, renderRewrap, renderSign, renderUnwrap, renderVerify, renderWrap } from './render.ts';
import * as schemas from './schemas.ts';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Below the base path; `{kid}` stands for both ways to write one. */
  readonly path: string;
  readonly summary: string;
  readonly status: number;
  readonly body?: TSchema;
  readonly query?: TSchema;
  /** Of what stands in the path; a kid is parsed by itself. */
  readonly params?: TSchema;
  /** The schema of a JSON answer, or what else it is. */
  readonly answer: TSchema | Media;
  /** What the log calls it, also when it is refused before it is an operation; reads are no entries. */
  readonly op?: Op;
  /** What the answer says in its head as well. */
  readonly headersOf?: (answer: object) => Readonly<Record<string, string>>;
  /** Answers the same whatever the method. */
  readonly isOfAnyMethod: boolean;
  /** The answer; text or bytes where it is not JSON. */
  handle(caller: Caller, input: RouteInput): Promise<object | string>;
}

/** An answer that is not JSON. */
export interface Media {
  readonly contentType: 'text/plain; charset=utf-8' | 'application/octet-stream';
  /** Never another under the same path, so that a client may keep it. */
  readonly isImmutable: boolean;
}

export function isMedia(answer: TSchema | Media): answer is Media {
  return 'contentType' in answer;
}

const signedNote: Media = { contentType: 'text/plain; charset=utf-8', isImmutable: false };
const logTile: Media = { contentType: 'application/octet-stream', isImmutable: true };

/** The body and query have passed the route's schemas. */
interface RouteInput {
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly query: unknown;
}

/** The calls of DESIGN §3, one row each: schema, parse, operation, render. Nothing is decided here. */
export function makeRoutes(operations: Operations): readonly Route[] {
  return [
    route('POST', '/keys', 'create', 'Create a key', schemas.CreateBody, schemas.Key, (caller, body) => operations.create(caller, parseCreate(body)), 201),
    read('/keys', 'List keys', schemas.ListQuery, schemas.KeyList, async (caller, { query }) => renderList(await operations.listKeys(caller, parseList(query)))),
    read('/keys/{kid}', 'Read a key', undefined, schemas.Key, (caller, { kid }) => operations.getKey(caller, kid())),
    ofKid('PATCH', '/keys/{kid}', 'patch', 'Change labels and rotation schedule', schemas.PatchBody, schemas.Key, (caller, kid, body) => operations.patch(caller, parsePatch(kid, body))),
    ofKid('POST', '/keys/{kid}/rotate', 'rotate', 'Make a new version', schemas.OpIdBody, schemas.RotateAnswer, (caller, kid, body) => operations.rotate(caller, parseChange(kid, body))),
    ofKid('POST', '/keys/{kid}/disable', 'disable', 'Disable a key or one version', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'disable', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/enable', 'enable', 'Enable a key or one version', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'enable', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/destroy', 'destroy', 'Schedule a key or one version for destruction', schemas.DestroyBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'destroy', parseDestroy(kid, body))),
    ofKid('POST', '/keys/{kid}/restore', 'restore', 'Undo a scheduled destruction', schemas.OpIdBody, schemas.Key, (caller, kid, body) => operations.move(caller, 'restore', parseDestroy(kid, body))),
    route('POST', '/sign', 'sign', 'Sign', schemas.SignBody, schemas.SignAnswer, async (caller, body) => renderSign(await operations.sign(caller, body.op_id, parseSign(body)))),
    { ...route('POST', '/verify', 'verify', 'Verify', schemas.VerifyBody, schemas.VerifyAnswer, async (caller, body) => renderVerify(await operations.verify(caller, parseVerify(body)))), headersOf: cacheAgeOf },
    route('POST', '/sign/batch', 'sign', 'Sign up to 256 payloads', schemas.SignBatchBody, schemas.SignBatchAnswer, async (caller, { items }) =>
      renderBatch(await operations.signBatch(caller, items.map((item) => ({ opId: item.op_id, parse: () => parseSign(item) }))), caller.requestId, renderSign)),
    { ...route('POST', '/verify/batch', 'verify', 'Verify up to 256 bundles', schemas.VerifyBatchBody, schemas.VerifyBatchAnswer, async (caller, { items }) =>
      renderBatch(await operations.verifyBatch(caller, items.map((item) => ({ opId: undefined, parse: () => parseVerify(item) }))), caller.requestId, renderVerify)), headersOf: cacheAgeOf },
    route('POST', '/wrap', 'wrap', 'Wrap a data key', schemas.WrapBody, schemas.WrapAnswer, async (caller, body) => renderWrap(await operations.wrap(caller, body.op_id, parseWrap(body)))),
    route('POST', '/unwrap', 'unwrap', 'Unwrap a data key', schemas.UnwrapBody, schemas.UnwrapAnswer, async (caller, body) => renderUnwrap(await operations.unwrap(caller, parseUnwrap(body)))),
    route('POST', '/rewrap', 'rewrap', 'Wrap to the current version, unseen', schemas.RewrapBody, schemas.RewrapAnswer, async (caller, body) => renderRewrap(await operations.rewrap(caller, parseRewrap(body)))),
    read('/token', 'What this token may do', undefined, schemas.Token, async (caller) => operations.readToken(caller)),
    read('/audit/checkpoint', 'The newest checkpoint: a C2SP signed note', undefined, signedNote, async (caller) => operations.readLog.checkpoint(caller)),
    read('/audit/keys', 'The keys that sign the log', undefined, schemas.AuditKeys, async (caller) => renderAuditKeys(operations.readLog.keys(caller))),
    read('/audit/tile/{tile}', 'A hash tile, or entries/… for a bundle of entries, by its C2SP path', undefined, logTile, (caller, { params }) => operations.readLog.tile(caller, parseTile(params['*']))),
    { ...read('/audit/receipts/{index}', 'The proof that an entry is in the log: c2sp.org/tlog-proof@v1', undefined, signedNote, (caller, { params }) => operations.readReceipt(caller, Number(params['index']))), params: schemas.ReceiptPath },
    read('/audit/records', 'Entries inside the caveats of the token', schemas.RecordsQuery, schemas.RecordList, async (caller, { query }) => renderRecords(await operations.readRecords(caller, parseRecords(query)))),
    route('POST', '/admin/log-keys', 'log-keys', 'Change the keys that sign the log', schemas.LogKeysBody, schemas.LogKeysAnswer, async (caller, body) => renderLogKeys(await operations.rotateLogKeys(caller, body.op_id, { isCompromised: body.compromised ?? false, body }))),
    route('POST', '/admin/rekey', 'rekey', 'Make a new root key, and move everything under it', schemas.OpIdBody, schemas.RekeyAnswer, async (caller, body) => renderRekey(await operations.rekey(caller, body.op_id, body))),
    read('/admin/rekey', 'How far the move to the new root key is', undefined, schemas.RekeyState, async (caller) => renderRekeyState(await operations.rekeyState(caller))),
    route('POST', '/admin/backup', 'backup', 'Write a backup into backup.dir', schemas.OpIdBody, schemas.BackupAnswer, async (caller, body) => renderBackup(await operations.backup(caller, body.op_id, body))),
    read('/admin/backup', 'How the newest backup is', undefined, schemas.BackupState, async (caller) => renderBackupState(await operations.backupState(caller))),
    route('POST', '/admin/reload', 'reload', 'Take the settings anew', schemas.EmptyBody, schemas.ReloadAnswer, async (caller) => renderReload(await operations.reload(caller))),
    route('POST', '/admin/accept-clock', 'accept-clock', 'Trust the wall clock as it stands', schemas.OpIdBody, schemas.AcceptClockAnswer, async (caller, body) => renderAcceptClock(await operations.acceptClock(caller, body.op_id, body))),
    forbidden('/keys/{kid}/private'),
    forbidden('/keys/{kid}/export'),
  ];
}

/** A call with a body. The schema has validated it, so its static type holds. */
function route<B extends TSchema>(method: 'POST' | 'PATCH', path: string, op: Op, summary: string, body: B, answer: TSchema, handle: (caller: Caller, body: Wire<B>, params: RouteInput['params']) => Promise<object>, status = 200): Route {
  return { method, path, op, summary, status, body, answer, isOfAnyMethod: false, handle: (caller, input) => handle(caller, input.body as Wire<B>, input.params) };
}

function ofKid<B extends TSchema>(method: 'POST' | 'PATCH', path: string, op: Op, summary: string, body: B, answer: TSchema, handle: (caller: Caller, kid: Kid, body: Wire<B>) => Promise<object>): Route {
  return route(method, path, op, summary, body, answer, (caller, value, params) => handle(caller, parsePathKid(params), value));
}

function read<Q extends TSchema>(path: string, summary: string, query: Q | undefined, answer: TSchema | Media, handle: (caller: Caller, input: { readonly kid: () => Kid; readonly params: RouteInput['params']; readonly query: Wire<Q> }) => Promise<object | string>): Route {
  return {
    method: 'GET', path, summary, status: 200, ...(query && { query }), answer, isOfAnyMethod: false,
    handle: (caller, { params, query }) => handle(caller, { kid: () => parsePathKid(params), params, query: query as Wire<Q> }),
  };
}

function forbidden(path: string): Route {
  return { method: 'GET', path, summary: 'Refused: private keys never leave', status: 403, answer: schemas.ErrorAnswer, isOfAnyMethod: true, handle: refuseExport };
}

async function refuseExport(): Promise<object> {
  throw new KmsError('ExportForbidden');
}
