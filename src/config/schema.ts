import type { Kind } from './kinds.ts';
import { NAME_PATTERN } from '../core/key/kid.ts';
import { configKeys, configPaths, profileNames, tenantKeys } from './keys.ts';
import { renamedKeys } from './renamed.ts';

type Schema = Readonly<Record<string, unknown>>;
interface Table {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly properties: Record<string, Schema | Table>;
}

/** JSON Schema (2020-12) of the TOML file, for editors and for checks before it is anywhere near a service. */
export function configSchema(): Schema {
  const root = tableOf(configPaths.map((path) => [path, rowSchema(path)]));
  root.properties['profile'] = { enum: profileNames, description: 'presets below what the file says' };
  root.properties['tenants'] = {
    type: 'object',
    additionalProperties: false,
    description: 'the rules of tenants, by their names',
    patternProperties: { [`^${NAME_PATTERN}$`]: tableOf(Object.entries(tenantKeys).map(([path, kind]) => [path, kind.schema])) },
  };
  for (const [from, { to, endsWith }] of Object.entries(renamedKeys)) {
    root.properties[from] = { ...configKeys[to].kind.schema, deprecated: true, description: `is ${to} by now; this name goes with ${endsWith}` };
  }
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'ron-kms', description: 'kms.toml', ...root };
}

function rowSchema(path: (typeof configPaths)[number]): Schema {
  const { kind, fallback, about } = configKeys[path] as { kind: Kind<unknown>; fallback: unknown; about: string };
  const shown = fallback === undefined ? undefined : kind.show(fallback);
  return { ...kind.schema, description: about, ...(shown !== undefined && { default: shown }) };
}

/** The tables that dotted paths stand for. */
function tableOf(rows: readonly (readonly [path: string, schema: Schema])[]): Table {
  const root = emptyTable();
  for (const [path, schema] of rows) {
    const names = path.split('.');
    const last = names.pop() ?? path;
    let table = root;
    for (const name of names) table = (table.properties[name] ??= emptyTable()) as Table;
    table.properties[last] = schema;
  }
  return root;
}

function emptyTable(): Table {
  return { type: 'object', additionalProperties: false, properties: {} };
}
