/** The edge: validated wire bodies to branded values. What passes here is well formed, and nothing more. */
import type { Kid } from '../core/key/kid.ts';
import type { TileName } from '../core/log/tiles.ts';
import type { Payload } from '../core/payload.ts';
import type { ChangeRequest, DestroyRequest, PatchRequest } from '../service/change-key.ts';
import type { CreateRequest } from '../service/create-key.ts';
import type { ListRequest } from '../service/read-keys.ts';
import type { RecordsRequest } from '../service/read-records.ts';
import type { SignRequest } from '../service/sign.ts';
import type { UnwrapRequest } from '../service/unwrap.ts';
import type { VerifyRequest } from '../service/verify.ts';
import type { WrapRequest } from '../service/wrap.ts';
import type { CreateBody, DestroyBody, ListQuery, OpIdBody, PatchBody, RecordsQuery, RewrapBody, SignBody, UnwrapBody, VerifyBody, Wire, WrapBody } from './schemas.ts';
import { AEAD_NONCE_BYTES } from '../core/algorithm/table.ts';
import { decodeBase64 } from '../core/base64.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { PLAINTEXT_BYTES_MAX } from '../core/envelope/envelope.ts';
import { KmsError } from '../core/errors.ts';
import { parseKid } from '../core/key/kid.ts';
import { parseTilePath } from '../core/log/tiles.ts';
import { parseDuration } from '../core/time.ts';

const NOTHING = Buffer.alloc(0);
const CONTEXT_BYTES_MAX = 255;
const HINTS_BYTES_MAX = 4096;
const LIST_LIMIT = 100;
const ROTATE_AFTER_MIN_MS = 1000;
const DURATION_MAX_MS = 3650 * 86_400_000;

function parseKidText(text: string): Kid {
  const kid = parseKid(text);
  if (kid === undefined) throw bad('a kid is <tenant>/<purpose>/<alg>/<uuid>, optionally #v<N>');
  return kid;
}

/** A kid in a path: four segments, or the whole of it in one. */
export function parsePathKid(params: Readonly<Record<string, string>>): Kid {
  const { tenant, purpose, alg, id, kid } = params;
  return parseKidText(kid ?? `${tenant}/${purpose}/${alg}/${id}`);
}

export function parseCreate(body: Wire<typeof CreateBody>): CreateRequest {
  const { tenant, purpose, policy_hints: policyHints } = body;
  if (policyHints !== undefined && Buffer.byteLength(canonicalJson(policyHints)) > HINTS_BYTES_MAX) throw bad('policy_hints is over 4 KiB');
  return {
    tenant, purpose, alg: body.alg, parameterSet: body.parameter_set, input: body.input ?? 'b3', labels: body.labels ?? {},
    rotateAfterMs: body.rotate_after === undefined ? undefined : parseRotateAfter(body.rotate_after),
    policyHints: policyHints as CreateRequest['policyHints'],
    opId: body.op_id,
    body,
  };
}

export function parseChange(kid: Kid, body: Wire<typeof OpIdBody>): ChangeRequest {
  return { kid, opId: body.op_id, body };
}

export function parseDestroy(kid: Kid, body: Wire<typeof DestroyBody>): DestroyRequest {
  return { kid, opId: body.op_id, body, afterMs: body.after === undefined ? undefined : parseDuration(body.after) };
}

export function parsePatch(kid: Kid, body: Wire<typeof PatchBody>): PatchRequest {
  const { rotate_after: rotateAfter } = body;
  if (body.labels === undefined && rotateAfter === undefined) throw bad('send labels or rotate_after');
  return {
    kid, opId: body.op_id, body, labels: body.labels,
    rotateAfterMs: typeof rotateAfter === 'string' ? parseRotateAfter(rotateAfter) : rotateAfter,
  };
}

export function parseList(query: Wire<typeof ListQuery>): ListRequest {
  const { tenant, purpose, alg, state, label, limit, cursor } = query;
  const colon = label?.indexOf(':') ?? 0;
  const after = cursor === undefined ? undefined : parseKid(Buffer.from(cursor, 'base64url').toString('latin1'))?.base;
  if (cursor !== undefined && after === undefined) throw bad('cursor is not one that a list gave');
  return {
    tenant, purpose, alg, state, after,
    label: label === undefined ? undefined : { name: label.slice(0, colon), value: label.slice(colon + 1) },
    limit: limit === undefined ? LIST_LIMIT : Number(limit),
  };
}

export function parseSign(body: Wire<typeof SignBody>): SignRequest {
  return {
    kid: parseKidText(body.kid),
    payload: parsePayload(body),
    context: parseContext(body.context_b64),
    produceHybrid: body.policy?.produce_hybrid,
    isEvidenceAsked: body.attest === true,
  };
}

export function parseVerify(body: Wire<typeof VerifyBody>): VerifyRequest {
  const { kid, kid_set: kidSet, sigs } = body;
  if ((kid === undefined) === (kidSet === undefined)) throw bad('send one of kid and kid_set');
  const kids = kid === undefined ? (kidSet ?? []) : [kid];
  if (new Set(kids).size !== kids.length) throw bad('a kid stands twice in kid_set');
  if (new Set(sigs.map(({ alg }) => alg)).size !== sigs.length) throw bad('an alg stands twice in sigs');
  return {
    kids: kids.map(parseKidText),
    payload: parsePayload(body),
    signatures: sigs.map(({ alg, parameter_set: parameterSet, signature_b64: signature }) => ({ alg, parameterSet, bytes: decodeBase64(signature) })),
    context: parseContext(body.context_b64),
    mode: body.policy?.mode,
  };
}

export function parseWrap(body: Wire<typeof WrapBody>): WrapRequest {
  const { plaintext_key_b64: given, size, nonce_b64: nonceText } = body;
  const nonce = nonceText === undefined ? undefined : decodeBase64(nonceText);
  if (nonce !== undefined && nonce.length !== AEAD_NONCE_BYTES) throw bad('nonce_b64 is 12 bytes');
  return {
    kid: parseKidText(body.kid),
    plaintext: parsePlaintext(given, size),
    returnPlaintext: body.return_plaintext ?? true,
    aad: body.aad_b64 === undefined ? NOTHING : decodeBase64(body.aad_b64),
    kemMode: body.kem_mode,
    nonce,
  };
}

export function parseUnwrap(body: Wire<typeof UnwrapBody>): UnwrapRequest {
  return { ...parseRewrap(body), kid: body.kid === undefined ? undefined : parseKidText(body.kid) };
}

export function parseRewrap(body: Wire<typeof RewrapBody>): Omit<UnwrapRequest, 'kid'> {
  return {
    wrapped: decodeBase64(body.wrapped_b64),
    aad: body.aad_b64 === undefined ? NOTHING : decodeBase64(body.aad_b64),
  };
}

export function parseRecords({ from, limit, kid, tenant, op, result }: Wire<typeof RecordsQuery>): RecordsRequest {
  return {
    from: from === undefined ? undefined : Number(from),
    limit: limit === undefined ? LIST_LIMIT : Number(limit),
    kid: kid === undefined ? undefined : parseKidText(kid),
    tenant, op, result,
  };
}

/** The path of a tile below the log's own; any other way to write it is a path where nothing is. */
export function parseTile(text: string | undefined): TileName {
  const name = parseTilePath(`tile/${text ?? ''}`);
  if (name === undefined) throw new KmsError('NotFound');
  return name;
}

function parsePlaintext(given: string | undefined, size: number | undefined): WrapRequest['plaintext'] {
  if (given !== undefined && size === undefined) {
    const bytes = decodeBase64(given);
    if (bytes.length === 0 || bytes.length > PLAINTEXT_BYTES_MAX) throw bad('plaintext_key_b64 is 1 to 4096 bytes');
    return { given: bytes };
  }
  if (size === undefined || given !== undefined) throw bad('send one of plaintext_key_b64 and size');
  return { generateBytes: size };
}

function parsePayload({ payload_b3: digestHex, payload_b64: bytes }: { payload_b3?: string; payload_b64?: string }): Payload {
  if (digestHex !== undefined && bytes === undefined) return { digestHex };
  if (bytes !== undefined && digestHex === undefined) return { bytes: decodeBase64(bytes) };
  throw bad('send one of payload_b3 and payload_b64');
}

function parseContext(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  const context = decodeBase64(text);
  if (context.length > CONTEXT_BYTES_MAX) throw bad('context_b64 is at most 255 bytes');
  return context;
}

function parseRotateAfter(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < ROTATE_AFTER_MIN_MS || ms > DURATION_MAX_MS) throw bad('rotate_after is 1s to 3650d');
  return ms;
}

function bad(hint: string): KmsError {
  return new KmsError('BadRequest', { hint });
}
