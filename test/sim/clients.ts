import type { Book, KnownKey } from './book.ts';
import type { Chance } from './chance.ts';
import type { Input } from './life.ts';
import { deriveMacaroonKey, mint } from '../../src/core/macaroon/chain.ts';
import { encodeToken } from '../../src/core/macaroon/codec.ts';
import { Broken, baseOf, count, versionOf } from './book.ts';

/** How a request ended for whoever sent it: nobody knows what became of one that was lost. */
export type Reply = { readonly answer: any } | { readonly refused: string } | 'lost';

export type Send = (token: string, method: string, path: string, input: Input) => Promise<Reply>;

export interface ClientsDeps {
  readonly send: Send;
  readonly book: Book;
  readonly chance: Chance;
  readonly sleep: (ms: number) => Promise<void>;
  readonly trace: (line: string) => void;
}

const TENANTS = ['acme', 'beta', 'core'] as const;
const CLIENTS = 2400;
export const ROOT_KEY_ID = 'sim';
export const ROOT_SECRET = Buffer.alloc(32, 7);
const macaroonKey = deriveMacaroonKey(ROOT_SECRET);
const ALGS = ['ed25519', 'ed25519+ml-dsa', 'ml-dsa', 'aes-256-gcm', 'chacha20-poly1305', 'x25519+ml-kem'] as const;
const KEYS_PER_TENANT = 12;
const TRIES = 8;
/** What may be refused at any time, whatever the key is: load and trouble. */
const TROUBLE = new Set(['StoreUnavailable', 'AuditUnavailable', 'ClockSkew', 'Backpressure', 'QuotaExceeded', 'Timeout']);
const SCOPES = 'kms:read,kms:sign,kms:verify,kms:wrap,kms:unwrap,kms:rewrap,kms:rotate,kms:destroy,kms:audit';

export interface Clients {
  /** Some of the clients do a few things each, all at once. */
  burst(): Promise<void>;
  /** Everything that was told, looked at once more when all trouble is over. */
  review(): Promise<void>;
  operator(method: string, path: string): Promise<Reply>;
  /** The operator has new keys made for the log; where somebody may know those before, with their end. */
  changeLogKeys(isCompromised: boolean): Promise<void>;
  tokenFor(tenant: string): string;
  readonly anyTenantToken: string;
}

export function createClients({ send, book, chance, sleep, trace }: ClientsDeps): Clients {
  const tokens = new Map<string, string>();
  let opIds = 0;

  const tokenOf = (client: string, tenant: string, scope: string): string => {
    const known = tokens.get(client);
    if (known !== undefined) return known;
    const token = encodeToken(mint(macaroonKey, `ron1.${ROOT_KEY_ID}.${client}.t`, [`scope = ${scope}`, `tenant = ${tenant}`, 'expires = 2060-01-01T00:00:00Z']));
    tokens.set(client, token);
    return token;
  };

  /** Until there is an answer or a refusal for good; undefined when the client gives up. */
  const insist = async (who: Who, method: string, path: string, input: Input): Promise<Exclude<Reply, 'lost'> | undefined> => {
    for (let i = 0; i < TRIES; i++) {
      const reply = await send(who.token, method, path, input);
      if (reply !== 'lost' && !('refused' in reply && TROUBLE.has(reply.refused))) return reply;
      await sleep(200 * 2 ** i * (0.5 + chance.next()));
    }
    return undefined;
  };

  const keysOf = (tenant: string): readonly KnownKey[] => [...book.keys.values()].filter((key) => key.tenant === tenant);

  const told = (answer: any, op: string, kid: string | undefined): void => {
    book.told.push({ index: answer.audit.index, opId: answer.audit.op_id, op, kid });
  };

  interface Who {
    readonly client: string;
    readonly tenant: string;
    readonly token: string;
  }

  const create = async (who: Who): Promise<void> => {
    if (keysOf(who.tenant).length >= KEYS_PER_TENANT) return;
    const body = { tenant: who.tenant, purpose: 'sim', alg: chance.one(ALGS), op_id: `c${++opIds}` };
    const reply = await insist(who, 'POST', '/keys', { body });
    if (reply === undefined) return;
    if ('refused' in reply) return refusedWrongly('create', reply);
    const { kid } = reply.answer;
    if (book.keys.has(baseOf(kid))) throw new Broken('once-per-op-id', `two calls of create were answered with ${kid}`);
    book.keys.set(baseOf(kid), { base: baseOf(kid), tenant: who.tenant, alg: body.alg, version: 1, state: 'enabled', isBusy: false, changes: 0, ended: new Set(), wrapped: [], signed: [] });
    count(book, 'create');
    // The answer may have been lost, and asked for again; or be asked for again now.
    const again = await send(who.token, 'POST', '/keys', { body });
    if (again !== 'lost' && 'answer' in again && again.answer.kid !== kid) throw new Broken('once-per-op-id', `create with ${body.op_id} gave ${kid}, then ${again.answer.kid}`);
  };

  const rotate = (who: Who, key: KnownKey): Promise<void> => changing(key, async () => {
    // Who rotates what is disabled is refused.
    const before = key.version;
    // Two at once, now and then: with one op_id they are one, else they are two.
    const opId = `r${++opIds}`;
    const opIdsNow = chance.percent(30) ? [opId, chance.percent(50) ? opId : `r${++opIds}`] : [opId];
    const replies = await Promise.all(opIdsNow.map((op_id) => insist(who, 'POST', '/keys/{kid}/rotate', { params: { kid: key.base }, body: { op_id } })));
    const given = new Map<string, number>();
    for (const [i, reply] of replies.entries()) {
      if (reply === undefined) continue;
      // Somebody's change, given up and still carried out, may have disabled it.
      if ('refused' in reply) {
        if (reply.refused === 'KeyState') continue;
        refusedWrongly('rotate', reply);
        continue;
      }
      const version = versionOf(reply.answer.kid);
      if (version <= before) throw new Broken('versions-go-up', `${key.base} was at version ${before}, and rotate gave ${version}`);
      const own = opIdsNow[i] ?? '';
      if (given.has(own) && given.get(own) !== version) throw new Broken('once-per-op-id', `rotate with ${own} gave the versions ${given.get(own)} and ${version}`);
      if (!given.has(own) && [...given.values()].includes(version)) throw new Broken('once-per-op-id', `two rotations of ${key.base} gave version ${version}`);
      given.set(own, version);
      key.version = Math.max(key.version, version);
    }
    count(book, 'rotate');
    if (replies.every((reply) => reply !== undefined && 'answer' in reply)) key.state = 'enabled';
  });

  const toggle = async (who: Who, key: KnownKey): Promise<void> => {
    const op = key.state === 'disabled' ? 'enable' : 'disable';
    if (key.state === undefined || (op === 'disable' && !chance.percent(40))) return;
    await changing(key, async () => {
      const reply = await insist(who, 'POST', `/keys/{kid}/${op}`, { params: { kid: key.base }, body: { op_id: `t${++opIds}` } });
      if (reply === undefined) return;
      if ('refused' in reply) {
        if (reply.refused !== 'KeyState') refusedWrongly(op, reply);
        return;
      }
      if (reply.answer.state !== `${op}d`) throw new Broken('right-answer', `${op} of ${key.base} gave the state ${reply.answer.state}`);
      key.state = `${op}d`;
      count(book, op);
    });
  };

  /** What was given up is settled by saying it once more, until it is known again. */
  const settle = (who: Who, key: KnownKey): Promise<void> => changing(key, async () => {
    const reply = await insist(who, 'POST', '/keys/{kid}/enable', { params: { kid: key.base }, body: { op_id: `s${++opIds}` } });
    if (reply !== undefined && 'refused' in reply && reply.refused !== 'KeyState') refusedWrongly('enable', reply);
    if (reply !== undefined && 'answer' in reply) key.state = 'enabled';
  });

  const destroyOld = async (who: Who, key: KnownKey): Promise<void> => {
    const version = 1 + chance.below(key.version);
    if (version === key.version || key.ended.has(version)) return;
    key.ended.add(version);
    const reply = await insist(who, 'POST', '/keys/{kid}/destroy', { params: { kid: `${key.base}#v${version}` }, body: { op_id: `d${++opIds}`, after: '1m' } });
    if (reply !== undefined && 'refused' in reply && reply.refused !== 'KeyState') refusedWrongly('destroy', reply);
    count(book, 'destroy');
  };

  const sign = async (who: Who, key: KnownKey): Promise<void> => {
    const payload = chance.bytes(24).toString('base64');
    const before = standing(key);
    const reply = await send(who.token, 'POST', '/sign', { body: { kid: key.base, payload_b64: payload, op_id: `g${++opIds}` } });
    if (!isUsed('sign', key, before.mustBe(), reply) || reply === 'lost' || !('answer' in reply)) return;
    const { answer } = reply;
    requireVersion('sign', answer.kid, before.version);
    key.version = Math.max(key.version, versionOf(answer.kid));
    told(answer, 'sign', answer.kid);
    if (key.signed.length < 40) key.signed.push({ payload, sigs: answer.sigs, kid: answer.kid });
    count(book, 'sign');
  };

  const verify = async (who: Who, key: KnownKey): Promise<void> => {
    if (key.signed.length === 0) return;
    const { payload, sigs, kid } = chance.one(key.signed);
    const isForged = chance.percent(30);
    const before = standing(key);
    const reply = await send(who.token, 'POST', '/verify', { body: { kid, payload_b64: isForged ? chance.bytes(24).toString('base64') : payload, sigs: sigs as object } });
    if (!isUsed('verify', key, undefined, reply) || reply === 'lost' || !('answer' in reply)) {
      // A disabled version verifies nothing; all others do.
      if (reply !== 'lost' && 'refused' in reply && reply.refused === 'KeyState' && before.mustBe() === 'enabled') refusedWrongly(`verify with ${kid}`, reply);
      return;
    }
    if (reply.answer.ok === isForged) throw new Broken('right-answer', `verify with ${kid} said ${reply.answer.ok} of a ${isForged ? 'forged' : 'good'} signature`);
    count(book, 'verify');
  };

  const wrap = async (who: Who, key: KnownKey): Promise<void> => {
    const plaintext = chance.bytes(32).toString('base64');
    const before = standing(key);
    const reply = await send(who.token, 'POST', '/wrap', { body: { kid: key.base, plaintext_key_b64: plaintext, op_id: `w${++opIds}` } });
    if (!isUsed('wrap', key, before.mustBe(), reply) || reply === 'lost' || !('answer' in reply)) return;
    const { kid, wrapped_b64: wrapped } = reply.answer;
    requireVersion('wrap', kid, before.version);
    key.version = Math.max(key.version, versionOf(kid));
    told(reply.answer, 'wrap', kid);
    if (key.wrapped.length < 40) key.wrapped.push({ wrapped, plaintext, version: versionOf(kid) });
    count(book, 'wrap');
  };

  const unwrap = async (who: Who, key: KnownKey): Promise<void> => {
    if (key.wrapped.length === 0) return;
    const { wrapped, plaintext, version } = chance.one(key.wrapped);
    const before = standing(key);
    const reply = await send(who.token, 'POST', '/unwrap', { body: { wrapped_b64: wrapped } });
    if (!isUsed('unwrap', key, key.ended.has(version) ? undefined : before.mustBe(), reply) || reply === 'lost' || !('answer' in reply)) return;
    if (reply.answer.plaintext_key_b64 !== plaintext) throw new Broken('right-answer', `what ${key.base}#v${version} wrapped opens as something else`);
    told(reply.answer, 'unwrap', reply.answer.kid);
    count(book, 'unwrap');
  };

  const read = async (who: Who, key: KnownKey): Promise<void> => {
    const before = standing(key);
    const reply = await send(who.token, 'GET', '/keys/{kid}', { params: { kid: key.base } });
    if (reply === 'lost') return;
    if ('refused' in reply) {
      if (reply.refused === 'NotFound') throw new Broken('answered-is-kept', `${key.base} is not there`);
      return TROUBLE.has(reply.refused) ? undefined : refusedWrongly('read', reply);
    }
    if (reply.answer.current_version < before.version) throw new Broken('versions-go-up', `${key.base} is at version ${reply.answer.current_version}, and ${before.version} had been answered before`);
    const mustBe = before.mustBe();
    if (mustBe !== undefined && reply.answer.state !== mustBe) throw new Broken('answered-is-kept', `${key.base} is ${reply.answer.state}, and was answered to be ${mustBe}`);
  };

  const list = async (who: Who): Promise<void> => {
    const known = keysOf(who.tenant).map(({ base }) => base);
    const reply = await send(who.token, 'GET', '/keys', { query: { limit: '1000' } });
    if (reply === 'lost' || 'refused' in reply) return;
    const found = new Set<string>();
    for (const { kid, tenant } of reply.answer.keys) {
      if (tenant !== who.tenant) throw new Broken('tenants-apart', `${who.tenant} was shown ${kid}`);
      found.add(baseOf(kid));
    }
    const missing = known.find((base) => !found.has(base));
    if (missing !== undefined) throw new Broken('answered-is-kept', `${missing} is not in the list of ${who.tenant}`);
  };

  const records = async (who: Who): Promise<void> => {
    const reply = await send(who.token, 'GET', '/audit/records', { query: { limit: '50' } });
    if (reply === 'lost' || 'refused' in reply) return;
    for (const { entry } of reply.answer.records) if (entry.tenant !== who.tenant) throw new Broken('tenants-apart', `${who.tenant} was shown an entry of ${entry.tenant}`);
  };

  const trespass = async (who: Who): Promise<void> => {
    const others = [...book.keys.values()].filter(({ tenant }) => tenant !== who.tenant);
    if (others.length === 0) return;
    const key = chance.one(others);
    const [method, path, input] = chance.one<readonly [string, string, Input]>([
      ['GET', '/keys/{kid}', { params: { kid: key.base } }],
      ['POST', '/sign', { body: { kid: key.base, payload_b64: 'AAAA' } }],
      ['POST', '/wrap', { body: { kid: key.base, size: 32 } }],
      ['POST', '/keys/{kid}/rotate', { params: { kid: key.base } }],
      ['POST', '/keys', { body: { tenant: key.tenant, purpose: 'sim', alg: 'ed25519' } }],
      ...key.wrapped.slice(0, 1).map(({ wrapped }) => ['POST', '/unwrap', { body: { wrapped_b64: wrapped } }] as const),
    ]);
    const reply = await send(who.token, method, path, input);
    if (reply !== 'lost' && 'answer' in reply) throw new Broken('tenants-apart', `${who.tenant} was answered ${method} ${path} of ${key.base}`);
    count(book, 'trespass');
  };

  const one = async (who: Who): Promise<void> => {
    const own = keysOf(who.tenant);
    const roll = chance.below(100);
    if (own.length === 0 || roll < 6) return create(who);
    const key = chance.one(own);
    if (key.state === undefined && roll < 14) return settle(who, key);
    if (roll < 16) return rotate(who, key);
    if (roll < 20) return toggle(who, key);
    if (roll < 22) return destroyOld(who, key);
    if (roll < 28) return read(who, key);
    if (roll < 31) return list(who);
    if (roll < 33) return records(who);
    if (roll < 38) return trespass(who);
    if (isSigning(key)) return roll < 75 ? sign(who, key) : verify(who, key);
    return roll < 75 ? wrap(who, key) : unwrap(who, key);
  };

  const whoever = (): Who => {
    const number = chance.below(CLIENTS);
    const tenant = TENANTS[number % TENANTS.length] ?? '';
    const client = `client-${number}`;
    return { client, tenant, token: tokenOf(client, tenant, SCOPES) };
  };

  return {
    async burst() {
      const many = 4 + chance.below(36);
      await Promise.all(Array.from({ length: many }, async () => {
        const who = whoever();
        for (let of = 1 + chance.below(4); of > 0; of--) {
          await sleep(400 * chance.next());
          await one(who);
        }
      }));
    },
    async review() {
      for (const tenant of TENANTS) {
        const who = { client: 'reviewer', tenant, token: tokenOf(`reviewer-${tenant}`, tenant, SCOPES) };
        await list(who);
        for (const key of keysOf(tenant)) {
          await settle(who, key);
          if (key.state !== 'enabled') throw new Broken('comes-back', `${key.base} can not be enabled when all is well`);
          await read(who, key);
          for (const { payload, sigs, kid } of key.signed) {
            const reply = await insist(who, 'POST', '/verify', { body: { kid, payload_b64: payload, sigs: sigs as object } });
            if (reply === undefined || !('answer' in reply) || reply.answer.ok !== true) throw new Broken('right-answer', `a signature by ${kid} does not verify when all is well: ${JSON.stringify(reply)}`);
          }
          for (const { wrapped, plaintext, version } of key.wrapped) {
            if (key.ended.has(version)) continue;
            const reply = await insist(who, 'POST', '/unwrap', { body: { wrapped_b64: wrapped } });
            if (reply === undefined || !('answer' in reply) || reply.answer.plaintext_key_b64 !== plaintext) throw new Broken('right-answer', `what ${key.base}#v${version} wrapped does not open when all is well: ${JSON.stringify(reply)}`);
          }
          const used = await insist(who, 'POST', isSigning(key) ? '/sign' : '/wrap', { body: { kid: key.base, ...(isSigning(key) ? { payload_b64: 'AAAA' } : { size: 32 }) } });
          if (used === undefined || !('answer' in used)) throw new Broken('comes-back', `${key.base} does not work when all is well: ${JSON.stringify(used)}`);
          told(used.answer, isSigning(key) ? 'sign' : 'wrap', used.answer.kid);
        }
      }
      trace('reviewed');
    },
    async changeLogKeys(isCompromised) {
      const reply = await send(tokenOf('operator', '*', `${SCOPES},kms:admin`), 'POST', '/admin/log-keys', { body: { compromised: isCompromised } });
      trace(`log keys${isCompromised ? ', compromised' : ''}: ${reply === 'lost' ? reply : 'answer' in reply ? 'ok' : reply.refused}`);
      if (reply === 'lost' || 'refused' in reply) return;
      told(reply.answer, 'log-keys', undefined);
      count(book, 'log-keys');
    },
    tokenFor: (tenant) => tokenOf(`reviewer-${tenant}`, tenant, SCOPES),
    anyTenantToken: tokenOf('operator', '*', `${SCOPES},kms:admin`),
    operator: (method, path) => send(tokenOf('operator', '*', `${SCOPES},kms:admin`), method, path, {}),
  };
}

function refusedWrongly(what: string, { refused }: { readonly refused: string }): never {
  throw new Broken('right-refusal', `${what} was refused with ${refused}`);
}

/** One change of a key at a time; nothing when somebody else is at it. */
async function changing(key: KnownKey, change: () => Promise<void>): Promise<void> {
  if (key.isBusy) return;
  key.isBusy = true;
  key.state = undefined;
  key.changes++;
  try {
    await change();
  } finally {
    key.isBusy = false;
  }
}

export function isSigning({ alg }: Pick<KnownKey, 'alg'>): boolean {
  return alg.includes('dsa') || alg.includes('ed25519');
}

/** Holds the answer against the state that the key had all the while, if it had one. */
function standing(key: KnownKey) {
  const { state, changes, version } = key;
  return {
    version,
    mustBe: (): 'enabled' | 'disabled' | undefined => (changes === key.changes ? state : undefined),
  };
}

function requireVersion(what: string, kid: string, atLeast: number): void {
  if (versionOf(kid) < atLeast) throw new Broken('versions-go-up', `${what} with ${kid}, and version ${atLeast} had been answered before`);
}

/** Whether there is an answer; a refusal must be one that this key may get just now. */
function isUsed(what: string, key: KnownKey, mustBe: 'enabled' | 'disabled' | undefined, reply: Reply): boolean {
  if (reply === 'lost') return false;
  if ('answer' in reply) {
    if (mustBe === 'disabled') throw new Broken('right-answer', `${what} with ${key.base}, which is disabled`);
    return true;
  }
  if (TROUBLE.has(reply.refused) || (reply.refused === 'KeyState' && mustBe !== 'enabled')) return false;
  return refusedWrongly(`${what} with ${key.base}`, reply);
}
