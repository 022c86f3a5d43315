import type { Answer, Serving } from '../harness/service.ts';
import type { Faults } from './drill.ts';
import { randomBytes } from 'node:crypto';
import { OPERATOR } from '../harness/file-service.ts';
import { call, createKey } from '../harness/service.ts';

/** Clients of all kinds that go on whatever becomes of the service, and remember what they were told. */
export interface Load {
  /** They send to this one until it is gone or `stop` is called; resolves when none waits for an answer any more. */
  against(service: Pick<Serving, 'apiUrl'>): { stop(): Promise<void> };
  readonly told: { readonly signed: Map<number, string>; answers: number; refused: Record<string, number> };
  /** Everything that was answered, looked at again: signatures verify, wrapped keys open, versions are there. */
  review(service: Pick<Serving, 'apiUrl'>): Promise<void>;
}

const SIGNERS = 8;

export async function createLoad(service: Pick<Serving, 'apiUrl'>, faults: Faults): Promise<Load> {
  const signing = (await createKey(service, { tenant: 'acme' }, OPERATOR))['kid'] as string;
  const wrapping = (await createKey(service, { tenant: 'acme', purpose: 'wrap', alg: 'aes-256-gcm' }, OPERATOR))['kid'] as string;
  const run = randomBytes(4).toString('hex');
  const signed = new Map<number, string>();
  const told = { signed, answers: 0, refused: {} as Record<string, number> };
  const signatures: { readonly kid: string; readonly payload: string; readonly sigs: unknown }[] = [];
  const wrapped: { readonly wrapped: string; readonly plaintext: string }[] = [];
  const nonces = new Set<string>();
  let version = 1;
  let calls = 0;

  /** Undefined when nobody answered, or what was answered was a refusal. */
  const ask = async (to: Pick<Serving, 'apiUrl'>, path: string, body: object): Promise<Answer['body'] | 'gone' | undefined> => {
    const answer = await call(to, 'POST', path, body, OPERATOR).catch(() => undefined);
    if (answer === undefined) return 'gone';
    told.answers++;
    if (answer.status < 300) return answer.body;
    const { code } = answer.body['error'] as { code: string };
    told.refused[code] = (told.refused[code] ?? 0) + 1;
    if (code === 'Internal' || code === 'UnwrapFailed') faults.add(`${path} was refused with ${code}`);
    return undefined;
  };

  const sign = async (to: Pick<Serving, 'apiUrl'>): Promise<boolean> => {
    const payload = randomBytes(24).toString('base64');
    const opId = `${run}-${++calls}`;
    const body = await ask(to, '/sign', { kid: base(signing), payload_b64: payload, op_id: opId });
    if (body === 'gone') return false;
    if (body === undefined) return true;
    const { index } = body['audit'] as { index: number };
    if (signed.has(index)) faults.add(`two signatures were answered with entry ${index}`);
    signed.set(index, opId);
    if (signatures.length < 200) signatures.push({ kid: body['kid'] as string, payload, sigs: body['sigs'] });
    return true;
  };

  const rotate = async (to: Pick<Serving, 'apiUrl'>): Promise<boolean> => {
    const body = await ask(to, `/keys/${encodeURIComponent(base(signing))}/rotate`, { op_id: `${run}-r${++calls}` });
    if (body === 'gone') return false;
    const made = Number(/#v(\d+)$/.exec(body?.['kid'] as string)?.[1] ?? version + 1);
    if (made <= version) faults.add(`rotate gave version ${made}, and ${version} had been answered before`);
    if (body !== undefined) version = made;
    return true;
  };

  const wrap = async (to: Pick<Serving, 'apiUrl'>): Promise<boolean> => {
    const plaintext = randomBytes(32).toString('base64');
    const body = await ask(to, '/wrap', { kid: base(wrapping), plaintext_key_b64: plaintext });
    if (body === 'gone') return false;
    if (body === undefined) return true;
    const text = body['wrapped_b64'] as string;
    // Header and nonce: two alike would be one nonce twice.
    const head = Buffer.from(text, 'base64').subarray(0, -48).toString('hex');
    if (nonces.has(head)) faults.add(`a nonce of ${wrapping} came twice`);
    nonces.add(head);
    if (wrapped.length < 200) wrapped.push({ wrapped: text, plaintext });
    return true;
  };

  return {
    told,
    against(service) {
      const is = { over: false };
      const client = async (one: (to: Pick<Serving, 'apiUrl'>) => Promise<boolean>): Promise<void> => {
        while (!is.over && await one(service));
      };
      const clients = [...Array.from({ length: SIGNERS }, () => client(sign)), client(rotate), client(wrap)];
      return {
        async stop() {
          is.over = true;
          await Promise.all(clients);
        },
      };
    },
    async review(service) {
      for (const { kid, payload, sigs } of signatures) {
        const { body } = await call(service, 'POST', '/verify', { kid, payload_b64: payload, sigs }, OPERATOR);
        faults.unless(body['ok'] === true, `a signature by ${kid} does not verify any more: ${JSON.stringify(body)}`);
      }
      for (const { wrapped: text, plaintext } of wrapped) {
        const { body } = await call(service, 'POST', '/unwrap', { wrapped_b64: text }, OPERATOR);
        faults.unless(body['plaintext_key_b64'] === plaintext, `what was wrapped does not open any more: ${JSON.stringify(body)}`);
      }
      const { body } = await call(service, 'GET', `/keys/${encodeURIComponent(base(signing))}`, undefined, OPERATOR);
      faults.unless((body['current_version'] as number) >= version, `version ${version} was answered, and the key is at ${String(body['current_version'])}`);
    },
  };
}

function base(kid: string): string {
  return kid.slice(0, kid.indexOf('#'));
}
