/**
 * The wire schemas: the single source for validation, for the types of the handlers and of the client,
 * and for /openapi.json. Every object refuses unknown fields.
 */
import type { Static, TSchema } from 'typebox';
import { Type } from 'typebox';
import { algNames } from '../core/algorithm/table.ts';
import { verifyModes } from '../core/bundle/modes.ts';
import { errorTable } from '../core/errors.ts';
import { KID_CHARS_MAX, NAME_PATTERN } from '../core/key/kid.ts';

const closed = { additionalProperties: false } as const;

const Name = Type.String({ pattern: `^${NAME_PATTERN}$`, description: 'tenant or purpose' });
const KidText = Type.String({ minLength: 1, maxLength: KID_CHARS_MAX, description: '<tenant>/<purpose>/<alg>/<uuid>, optionally #v<N>' });
const OpId = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'makes a mutation idempotent for 24 h; elsewhere a name in the log' });
const Base64 = Type.String({ description: 'standard base64 with padding' });
const DigestHex = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'BLAKE3, 64 lower-case hex digits' });
const Duration = Type.String({ pattern: '^(0|[1-9][0-9]{0,11})(ms|s|m|h|d)$', description: '24h, 7d' });
const Timestamp = Type.String({ description: 'RFC 3339, UTC, milliseconds' });
const Alg = Type.Enum([...algNames]);
const Mode = Type.Enum([...verifyModes]);
const ParameterSet = Type.String({ minLength: 1, maxLength: 32 });
const State = Type.Enum(['enabled', 'disabled', 'scheduled', 'destroyed']);
const Input = Type.Enum(['b3', 'raw']);
const Labels = Type.Record(Type.String({ pattern: '^[a-z0-9._-]{1,63}$' }), Type.String({ maxLength: 256 }), { maxProperties: 32, ...closed });
const LogIndex = Type.Integer({ minimum: 0 });
const IndexText = Type.String({ pattern: '^(0|[1-9][0-9]{0,14})$', description: 'a place in the log, from 0' });
const Audit = Type.Object({ index: LogIndex, op_id: Type.String() }, closed);
const PageLimit = Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$', description: '1 to 1000, 100 when left out' });
const Payload = {
  payload_b3: Type.Optional(DigestHex),
  payload_b64: Type.Optional(Base64),
};

export const CreateBody = Type.Object({
  tenant: Name,
  purpose: Name,
  alg: Type.Optional(Alg),
  parameter_set: Type.Optional(ParameterSet),
  input: Type.Optional(Input),
  labels: Type.Optional(Labels),
  rotate_after: Type.Optional(Duration),
  policy_hints: Type.Optional(Type.Object({}, { description: 'up to 4 KiB, sent to policy, never given back' })),
  op_id: Type.Optional(OpId),
}, closed);

export const PatchBody = Type.Object({
  labels: Type.Optional(Labels),
  rotate_after: Type.Optional(Type.Union([Duration, Type.Null()])),
  op_id: Type.Optional(OpId),
}, closed);

export const OpIdBody = Type.Object({ op_id: Type.Optional(OpId) }, closed);
export const DestroyBody = Type.Object({ op_id: Type.Optional(OpId), after: Type.Optional(Duration) }, closed);

export const PublicPart = Type.Object({
  alg: Type.String(),
  pubkey_b64: Base64,
  spki_pem: Type.Optional(Type.String()),
  jwk: Type.Optional(Type.Record(Type.String(), Type.String())),
}, closed);

export const Version = Type.Object({
  kid: KidText,
  version: Type.Integer({ minimum: 1 }),
  state: State,
  created_at: Timestamp,
  destroy_at: Type.Optional(Timestamp),
  attestation_class: Type.String(),
  public: Type.Array(PublicPart),
}, closed);

export const Key = Type.Object({
  kid: KidText,
  tenant: Name,
  purpose: Name,
  alg: Alg,
  parameter_set: Type.Optional(ParameterSet),
  input: Input,
  state: State,
  labels: Labels,
  rotate_after: Type.Optional(Duration),
  created_at: Timestamp,
  current_version: Type.Integer({ minimum: 1 }),
  versions: Type.Array(Version),
}, closed);

export const NoQuery = Type.Object({}, closed);

export const ListQuery = Type.Object({
  tenant: Type.Optional(Name),
  purpose: Type.Optional(Name),
  alg: Type.Optional(Alg),
  state: Type.Optional(State),
  label: Type.Optional(Type.String({ pattern: '^[a-z0-9._-]{1,63}:', maxLength: 320, description: 'key:value' })),
  limit: Type.Optional(PageLimit),
  cursor: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,400}$' })),
}, closed);

export const KeyList = Type.Object({ keys: Type.Array(Key), next_cursor: Type.Optional(Type.String()) }, closed);
export const RotateAnswer = Type.Object({ kid: KidText, previous: KidText }, closed);

export const SignatureItem = Type.Object({
  alg: Type.String({ minLength: 1, maxLength: 32 }),
  parameter_set: Type.Optional(ParameterSet),
  signature_b64: Base64,
}, closed);

export const SignBody = Type.Object({
  kid: KidText,
  ...Payload,
  context_b64: Type.Optional(Base64),
  policy: Type.Optional(Type.Object({ produce_hybrid: Type.Optional(Type.Boolean()) }, closed)),
  op_id: Type.Optional(OpId),
  attest: Type.Optional(Type.Boolean({ description: 'evidence of key residency, where custody gives any' })),
}, closed);

export const SignAnswer = Type.Object({
  kid: KidText,
  payload_b3: DigestHex,
  sigs: Type.Array(SignatureItem),
  attestation: Type.Optional(Type.Object({ class: Type.String(), evidence: Type.String() }, closed)),
  audit: Audit,
}, closed);

export const VerifyBody = Type.Object({
  kid: Type.Optional(KidText),
  kid_set: Type.Optional(Type.Array(KidText, { minItems: 1, maxItems: 16 })),
  ...Payload,
  sigs: Type.Array(SignatureItem, { minItems: 1, maxItems: 8 }),
  context_b64: Type.Optional(Base64),
  policy: Type.Optional(Type.Object({ mode: Type.Optional(Mode) }, closed)),
}, closed);

export const VerifyAnswer = Type.Object({
  ok: Type.Boolean(),
  details: Type.Object({
    mode: Mode,
    checked: Type.Array(Type.Object({ alg: Type.String(), kid: KidText, ok: Type.Boolean() }, closed)),
    degraded: Type.Optional(Type.Boolean({ description: 'true while log, anchor or key store are at odds: the answer is only as good as the records' })),
  }, closed),
  cache_age_ms: Type.Optional(Type.Integer({ minimum: 0, description: 'there while the backend that holds the keys is out: how old what is known of them is' })),
}, closed);

export const ErrorItem = Type.Object({
  code: Type.Enum(Object.keys(errorTable)),
  message: Type.String(),
  retryable: Type.Boolean(),
  hint: Type.Optional(Type.String()),
  ts: Timestamp,
  request_id: Type.String(),
}, closed);

export const ErrorAnswer = Type.Object({ error: ErrorItem }, closed);

const batchOf = <T extends TSchema>(item: T) => Type.Object({ items: Type.Array(item, { minItems: 1, maxItems: 256 }) }, closed);

export const SignBatchBody = batchOf(SignBody);
export const SignBatchAnswer = Type.Object({ items: Type.Array(Type.Union([SignAnswer, ErrorAnswer])) }, closed);
export const VerifyBatchBody = batchOf(VerifyBody);
export const VerifyBatchAnswer = Type.Object({ items: Type.Array(Type.Union([VerifyAnswer, ErrorAnswer])) }, closed);

export const WrapBody = Type.Object({
  kid: KidText,
  plaintext_key_b64: Type.Optional(Base64),
  size: Type.Optional(Type.Integer({ minimum: 16, maximum: 64, description: 'bytes of a generated key' })),
  return_plaintext: Type.Optional(Type.Boolean()),
  aad_b64: Type.Optional(Base64),
  kem_mode: Type.Optional(Type.Enum(['hybrid', 'classical', 'pq'])),
  nonce_b64: Type.Optional(Base64),
  op_id: Type.Optional(OpId),
}, closed);

export const WrapAnswer = Type.Object({
  kid: KidText,
  alg: Alg,
  wrapped_b64: Base64,
  plaintext_key_b64: Type.Optional(Base64),
  audit: Audit,
}, closed);

export const UnwrapBody = Type.Object({ wrapped_b64: Base64, kid: Type.Optional(KidText), aad_b64: Type.Optional(Base64) }, closed);
export const UnwrapAnswer = Type.Object({ kid: KidText, alg: Alg, plaintext_key_b64: Base64, audit: Audit }, closed);
export const RewrapBody = Type.Object({ wrapped_b64: Base64, aad_b64: Type.Optional(Base64) }, closed);
export const RewrapAnswer = Type.Object({ kid: KidText, alg: Alg, wrapped_b64: Base64, audit: Audit }, closed);

export const Token = Type.Object({
  client_id: Type.String(),
  scopes: Type.Array(Type.String()),
  caveats: Type.Array(Type.String()),
  expires: Timestamp,
}, closed);

export const AuditKeys = Type.Object({
  origin: Type.String(),
  keys: Type.Array(Type.Object({
    vkey: Type.String({ description: 'C2SP signed-note verifier key' }),
    alg: Type.Enum(['ed25519', 'ml-dsa-44']),
    from_index: LogIndex,
    until_index: Type.Optional(LogIndex),
    transition_checkpoint: Type.Optional(Type.String({ description: 'the last signed note of the keys before and these' })),
    held_by: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'the token that holds it: label, slot, firmware …' })),
    attestation: Type.Optional(Type.Object({
      class: Type.String(), key: Type.String({ description: 'the attestation key of that time, as ron-kms attest verify takes it' }), evidence_b64: Type.String({ description: 'evidence about the log keys that came together' }),
    }, closed)),
  }, closed)),
}, closed);

export const RecordsQuery = Type.Object({
  from: Type.Optional(IndexText),
  limit: Type.Optional(PageLimit),
  kid: Type.Optional(KidText),
  tenant: Type.Optional(Name),
  op: Type.Optional(Type.String({ pattern: '^[a-z-]{1,32}$' })),
  result: Type.Optional(Type.String({ pattern: '^[A-Za-z]{1,32}$', description: 'ok, invalid, intent, or an error code' })),
}, closed);

/** What every entry has, and what it may have; those of the log itself say more. */
export const AuditEntry = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  salt: Type.String(),
  boot_id: Type.String(),
  op_id: Type.String(),
  corr_id: Type.String(),
  op: Type.String(),
  tenant: Type.Optional(Name),
  kid: Type.Optional(KidText),
  alg: Type.Optional(Type.String()),
  purpose: Type.Optional(Name),
  input_hash: DigestHex,
  ts: Timestamp,
  mono_ns: Type.String(),
  key_seq: Type.Optional(Type.Integer({ minimum: 1 })),
  result: Type.String(),
  reason: Type.Optional(Type.String()),
  actor: Type.Object({
    client_id: Type.Optional(Type.String()), root_key_id: Type.Optional(Type.String()), token_id: Type.Optional(Type.String()),
    via: Type.String(), peer: Type.Optional(Type.String()),
  }, closed),
  policy: Type.Optional(Type.Object({ mode: Mode, decision_id: Type.Optional(Type.String()) }, closed)),
  attestation: Type.Optional(Type.Object({ class: Type.String(), evidence_sha256: Type.String() }, closed)),
  generation: Type.Optional(Type.Integer({ minimum: 0 })),
}, { description: 'the entry; its RFC 8785 form is what the log has hashed' });

export const RecordList = Type.Object({
  records: Type.Array(Type.Object({ index: LogIndex, entry: AuditEntry }, closed)),
  next: Type.Optional(Type.Integer({ minimum: 0, description: 'where to go on; left out at the end of the log' })),
  tree_size: Type.Integer({ minimum: 0, description: 'entries in the log when it was read' }),
}, closed);

export const LogKeysBody = Type.Object({
  op_id: Type.Optional(OpId),
  compromised: Type.Optional(Type.Boolean({ description: 'the keys before are not to be trusted any more: they stop to sign at once' })),
}, closed);

export const LogKeysAnswer = Type.Object({
  keys: Type.Array(Type.String({ description: 'C2SP signed-note verifier key' })),
  until: Type.Optional(Timestamp),
  audit: Audit,
}, closed);

export const RekeyState = Type.Object({
  state: Type.Union([Type.Literal('moving'), Type.Literal('done')]),
  left: Type.Integer({ description: 'rows under the root key before, as of the last step' }),
  total: Type.Integer(),
}, closed);

export const RekeyAnswer = Type.Object({ ...RekeyState.properties, audit: Audit }, closed);

export const BackupState = Type.Object({
  state: Type.Union([Type.Literal('none'), Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')], { description: 'of the newest one since the service started' }),
  why: Type.Optional(Type.String({ description: 'why it failed' })),
  file: Type.Optional(Type.String({ description: 'its name, in backup.dir' })),
  bytes: Type.Optional(Type.Integer()),
  sha256: Type.Optional(Type.String()),
  generation: Type.Optional(Type.Integer({ description: 'of the key store, as it stands in the backup' })),
  records: Type.Optional(Type.Integer({ description: 'key versions' })),
}, closed);

export const BackupAnswer = Type.Object({ ...BackupState.properties, audit: Audit }, closed);

export const ReceiptPath = Type.Object({ index: IndexText }, closed);
export const EmptyBody = Type.Object({}, closed);
export const ReloadAnswer = Type.Object({ config_version: Type.String({ description: 'names the settings in force' }) }, closed);
export const AcceptClockAnswer = Type.Object({ audit: Audit }, closed);

export type Wire<T extends TSchema> = Static<T>;
