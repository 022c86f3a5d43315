import type { KmsClient } from '../../client/src/client.ts';
import type { Key } from '../../client/src/wire.ts';
import type { Command, Io, Parsed } from './command.ts';
import { randomUUIDv7 } from 'node:crypto';
import { algNames } from '../core/algorithm/table.ts';
import { print } from './answer.ts';
import { UsageError } from './command.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { flag, given, isOn, kidOf, labelsOf, neededFlag, oneOf } from './flags.ts';
import { describeKey, keyLine } from './key-text.ts';
import { whileWaiting } from './progress.ts';

const KID = 'core/audit/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const STATES = ['enabled', 'disabled', 'scheduled', 'destroyed'] as const;

const mutationOptions = { ...connectionOptions, 'op-id': { type: 'string' } } as const;
const mutationAbout = { ...connectionAbout, 'op-id': 'repeats of the same one are done once, for 24 h; made up when left out' };

const createKey: Command = {
  name: 'keys create',
  summary: 'Make a key',
  example: 'keys create --tenant core --purpose audit --label team=payments',
  options: {
    tenant: { type: 'string' }, purpose: { type: 'string' }, alg: { type: 'string' }, 'parameter-set': { type: 'string' }, input: { type: 'string' },
    label: { type: 'string', multiple: true }, 'rotate-after': { type: 'string' }, 'policy-hints': { type: 'string' }, ...mutationOptions,
  },
  about: {
    tenant: 'whose it is', purpose: 'what it is for; one that begins with kem or wrap gets a wrapping key',
    alg: algNames.join(', '), 'parameter-set': 'ML-DSA-44, ML-DSA-65, ML-DSA-87; ML-KEM-768, ML-KEM-1024', input: 'b3 signs the BLAKE3 digest (the default), raw the payload itself',
    label: 'name=value', 'rotate-after': 'make a new version this often: 90d', 'policy-hints': 'a JSON object for the policy service', ...mutationAbout,
  },
  async run(parsed, io) {
    const body = {
      tenant: neededFlag(parsed, 'tenant', 'whose key it will be'),
      purpose: neededFlag(parsed, 'purpose', 'what it will be for'),
      ...given({
        alg: oneOf(parsed, 'alg', algNames), parameter_set: flag(parsed, 'parameter-set'), input: oneOf(parsed, 'input', ['b3', 'raw']),
        labels: labelsOf(parsed), rotate_after: flag(parsed, 'rotate-after'), policy_hints: hintsOf(parsed),
      }),
      op_id: opIdOf(parsed),
    };
    return showKey(parsed, io, (client) => client.createKey(body));
  },
};

const getKey: Command = {
  name: 'keys get',
  args: '<kid>',
  summary: 'Show a key with its versions and public keys',
  example: `keys get ${KID} --json`,
  options: connectionOptions,
  about: connectionAbout,
  run: (parsed, io) => showKey(parsed, io, (client, kid) => client.getKey(kid)),
};

const listKeys: Command = {
  name: 'keys list',
  summary: 'List the keys that the token covers',
  example: 'keys list --tenant core --state enabled',
  options: {
    tenant: { type: 'string' }, purpose: { type: 'string' }, alg: { type: 'string' }, state: { type: 'string' }, label: { type: 'string', multiple: true },
    limit: { type: 'string' }, cursor: { type: 'string' }, all: { type: 'boolean' }, ...connectionOptions,
  },
  about: {
    tenant: 'of this tenant', purpose: 'for this purpose', alg: 'of this algorithm', state: STATES.join(', '), label: 'name=value; once',
    limit: '1 to 1000 on a page, 100 when left out', cursor: 'go on where a page ended', all: 'every page', ...connectionAbout,
  },
  async run(parsed, io) {
    const [label, ...more] = Object.entries(labelsOf(parsed) ?? {});
    if (more.length > 0) throw new UsageError('keys list takes one --label');
    const limit = flag(parsed, 'limit');
    if (limit !== undefined && !/^([1-9]\d{0,2}|1000)$/.test(limit)) throw new UsageError('--limit is 1 to 1000');
    const query = given({
      tenant: flag(parsed, 'tenant'), purpose: flag(parsed, 'purpose'), alg: oneOf(parsed, 'alg', algNames), state: oneOf(parsed, 'state', STATES),
      label: label?.join(':'), limit: limit === undefined ? undefined : Number(limit), cursor: flag(parsed, 'cursor'),
    });
    const client = await connect(parsed, io);
    if (isOn(parsed, 'all')) {
      const keys = await Array.fromAsync(client.allKeys(query));
      print(parsed, io, { keys }, () => listText(keys, undefined));
    } else {
      const page = await whileWaiting(io, 'waiting for the service', client.listKeys(query));
      print(parsed, io, page, () => listText(page.keys, page.next_cursor));
    }
    return EXIT.ok;
  },
};

const setKey: Command = {
  name: 'keys set',
  args: '<kid>',
  summary: 'Change the labels or the rotation schedule of a key',
  example: `keys set ${KID} --label team=payments --rotate-after 90d`,
  options: {
    label: { type: 'string', multiple: true }, 'no-labels': { type: 'boolean' }, 'rotate-after': { type: 'string' }, 'no-rotate': { type: 'boolean' }, ...mutationOptions,
  },
  about: {
    label: 'name=value; together they replace all labels', 'no-labels': 'take all labels off', 'rotate-after': 'make a new version this often: 90d',
    'no-rotate': 'rotate by command only', ...mutationAbout,
  },
  async run(parsed, io) {
    const rotateAfter = flag(parsed, 'rotate-after');
    const labels = labelsOf(parsed);
    if (rotateAfter !== undefined && isOn(parsed, 'no-rotate')) throw new UsageError('give one of --rotate-after and --no-rotate');
    if (labels !== undefined && isOn(parsed, 'no-labels')) throw new UsageError('give one of --label and --no-labels');
    const change = given({ labels: isOn(parsed, 'no-labels') ? {} : labels, rotate_after: isOn(parsed, 'no-rotate') ? null : rotateAfter });
    if (Object.keys(change).length === 0) throw new UsageError('there is nothing to set: give --label, --no-labels, --rotate-after or --no-rotate');
    return showKey(parsed, io, (client, kid) => client.patchKey(kid, { ...change, op_id: opIdOf(parsed) }));
  },
};

const rotateKey: Command = {
  name: 'keys rotate',
  args: '<kid>',
  summary: 'Make a new version of a key; the old ones go on verifying and unwrapping',
  example: `keys rotate ${KID}`,
  options: mutationOptions,
  about: mutationAbout,
  async run(parsed, io) {
    const kid = kidOf(parsed.args[0], '<kid>');
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, 'waiting for the service', client.rotateKey(kid, { op_id: opIdOf(parsed) }));
    print(parsed, io, answer, () => `${answer.kid}\n  before     ${answer.previous}`);
    return EXIT.ok;
  },
};

type Move = (client: KmsClient, kid: string, body: { op_id: string; after?: string }) => Promise<Key>;

/** The moves between states differ by their call only. */
const moves: readonly Command[] = [
  move('disable', 'Take a key or one version out of use', (client, kid, body) => client.disableKey(kid, body)),
  move('enable', 'Put a disabled key or version back into use', (client, kid, body) => client.enableKey(kid, body)),
  move('destroy', 'Schedule the private part of a key or version for destruction', (client, kid, body) => client.destroyKey(kid, body), 'after'),
  move('restore', 'Undo a scheduled destruction', (client, kid, body) => client.restoreKey(kid, body)),
];

function move(word: string, summary: string, call: Move, extra?: 'after'): Command {
  return {
    name: `keys ${word}`,
    args: '<kid>',
    summary,
    example: `keys ${word} ${KID}#v1${extra === undefined ? '' : ' --after 7d'}`,
    options: { ...(extra !== undefined && { after: { type: 'string' as const } }), ...mutationOptions },
    about: { ...(extra !== undefined && { after: 'when, from now: 7d when left out, never less than keys.destroy_min_after' }), ...mutationAbout },
    run: (parsed, io) => showKey(parsed, io, (client, kid) => call(client, kid, { op_id: opIdOf(parsed), ...given({ after: flag(parsed, 'after') }) })),
  };
}

export const keyCommands: readonly Command[] = [createKey, getKey, listKeys, setKey, rotateKey, ...moves];

/** Makes the call, of the kid that stands on the line if one does, and shows the key it gives. */
async function showKey(parsed: Parsed, io: Io, call: (client: KmsClient, kid: string) => Promise<Key>): Promise<number> {
  const kid = parsed.args.length === 0 ? '' : kidOf(parsed.args[0], '<kid>');
  const key = await whileWaiting(io, 'waiting for the service', call(await connect(parsed, io), kid));
  print(parsed, io, key, () => describeKey(key));
  return EXIT.ok;
}

/** One is always sent: the client repeats a mutation only when it cannot be done twice. */
function opIdOf(parsed: Parsed): string {
  return flag(parsed, 'op-id') ?? randomUUIDv7();
}

function hintsOf(parsed: Parsed): Record<string, unknown> | undefined {
  const text = flag(parsed, 'policy-hints');
  if (text === undefined) return undefined;
  try {
    const hints: unknown = JSON.parse(text);
    if (typeof hints === 'object' && hints !== null && !Array.isArray(hints)) return hints as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new UsageError('--policy-hints is a JSON object');
}

function listText(keys: readonly Key[], nextCursor: string | undefined): string {
  if (keys.length === 0) return 'no keys';
  return [...keys.map(keyLine), ...(nextCursor === undefined ? [] : [`more: --cursor ${nextCursor}, or --all`])].join('\n');
}
