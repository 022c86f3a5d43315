/** What of an OpenAPI document breaks who was written for the one before. */

type Schema = Readonly<Record<string, any>>;
type Direction = 'request' | 'response';

const METHODS = ['get', 'post', 'patch', 'put', 'delete'] as const;
const JSON_TYPE = 'application/json';
/** Of a request a smaller one refuses what was taken; of a response a larger one gives what was not expected. */
const UPPER = ['maximum', 'maxLength', 'maxItems', 'maxProperties'] as const;
const LOWER = ['minimum', 'minLength', 'minItems', 'minProperties'] as const;

/** One line for each; empty where everything that was right still is. */
export function breakingChanges(before: Schema, after: Schema): readonly string[] {
  const found: string[] = [];
  for (const [path, methods] of Object.entries(before['paths'] as Schema)) {
    for (const method of METHODS) {
      const old = (methods as Schema)[method] as Schema | undefined;
      if (old !== undefined) found.push(...changesOfCall(old, (after['paths'] as Schema)[path]?.[method] as Schema | undefined, `${method.toUpperCase()} ${path}`));
    }
  }
  return found;
}

function changesOfCall(old: Schema, now: Schema | undefined, where: string): readonly string[] {
  if (now === undefined) return [`${where} is gone`];
  const body = (of: Schema): Schema | undefined => of['requestBody']?.content?.[JSON_TYPE]?.schema as Schema | undefined;
  const parametersOf = (of: Schema): readonly Schema[] => (of['parameters'] ?? []) as readonly Schema[];
  const answers = Object.entries((old['responses'] ?? {}) as Schema).filter(([status]) => status.startsWith('2'));
  return [
    ...changes(body(old), body(now), 'request', `${where}, body`),
    ...answers.flatMap(([status, answer]) => changes((answer as Schema)['content']?.[JSON_TYPE]?.schema, now['responses']?.[status]?.content?.[JSON_TYPE]?.schema, 'response', `${where}, ${status}`)),
    ...parametersOf(now).filter((parameter) => parameter['required'] === true && !parametersOf(old).some(({ name }) => name === parameter['name'])).map(({ name }) => `${where} needs the parameter ${String(name)} now`),
  ];
}

function changes(old: Schema | undefined, now: Schema | undefined, direction: Direction, where: string): readonly string[] {
  if (old === undefined) return now !== undefined && direction === 'request' && (now['required'] as readonly string[] | undefined)?.length ? [`${where} is needed now`] : [];
  if (now === undefined) return [`${where} is gone`];
  const variants = (of: Schema): readonly Schema[] | undefined => (of['anyOf'] ?? of['oneOf']) as readonly Schema[] | undefined;
  const [oldVariants, nowVariants] = [variants(old), variants(now)];
  if (oldVariants !== undefined && nowVariants !== undefined) return oldVariants.flatMap((variant, i) => changes(variant, nowVariants[i], direction, `${where} (variant ${i + 1})`));
  return [
    ...(old['type'] === now['type'] ? [] : [`${where} was ${String(old['type'])} and is ${String(now['type'])}`]),
    ...enumChanges(old, now, direction, where),
    ...limitChanges(old, now, direction, where),
    ...(old['pattern'] === now['pattern'] ? [] : [`${where} has another pattern`]),
    ...propertyChanges(old, now, direction, where),
    ...(old['items'] === undefined ? [] : changes(old['items'] as Schema, now['items'] as Schema | undefined, direction, `${where}[]`)),
  ];
}

function enumChanges(old: Schema, now: Schema, direction: Direction, where: string): readonly string[] {
  const [was, is] = [old['enum'], now['enum']] as [readonly unknown[] | undefined, readonly unknown[] | undefined];
  if (was === undefined && is === undefined) return [];
  if (direction === 'request') return is === undefined ? [] : (was ?? ['anything']).filter((value) => !is.includes(value)).map((value) => `${where} does not take ${String(value)} any more`);
  return was === undefined ? [] : (is ?? ['anything']).filter((value) => !was.includes(value)).map((value) => `${where} may be ${String(value)} now`);
}

function limitChanges(old: Schema, now: Schema, direction: Direction, where: string): readonly string[] {
  const isTighter = direction === 'request';
  const moved = (name: string, goesDown: boolean): boolean => {
    const [was, is] = [old[name], now[name]] as [number | undefined, number | undefined];
    if (was === is) return false;
    if (isTighter) return is !== undefined && (was === undefined || (goesDown ? is < was : is > was));
    return was !== undefined && (is === undefined || (goesDown ? is > was : is < was));
  };
  return [...UPPER.filter((name) => moved(name, true)), ...LOWER.filter((name) => moved(name, false))].map((name) => `${where}: ${name} was ${String(old[name] ?? 'none')} and is ${String(now[name] ?? 'none')}`);
}

function propertyChanges(old: Schema, now: Schema, direction: Direction, where: string): readonly string[] {
  const [was, is] = [(old['properties'] ?? {}) as Schema, (now['properties'] ?? {}) as Schema];
  const required = (of: Schema): ReadonlySet<string> => new Set((of['required'] ?? []) as readonly string[]);
  const [wasRequired, isRequired] = [required(old), required(now)];
  return [
    ...Object.keys(was).filter((name) => !Object.hasOwn(is, name)).map((name) => `${where}.${name} is gone`),
    ...(direction === 'request'
      ? [...isRequired].filter((name) => !wasRequired.has(name)).map((name) => `${where}.${name} is needed now`)
      : [...wasRequired].filter((name) => Object.hasOwn(is, name) && !isRequired.has(name)).map((name) => `${where}.${name} may be left out now`)),
    ...Object.keys(was).filter((name) => Object.hasOwn(is, name)).flatMap((name) => changes(was[name] as Schema, is[name] as Schema, direction, `${where}.${name}`)),
  ];
}
