import type { ErrorObject, ValidateFunction } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import { Ajv } from 'ajv';
import { KmsError } from '../core/errors.ts';

/** Validates as the schemas say: nothing coerced, nothing removed, nothing filled in. Each is compiled at its first use. */
export function createValidators(): FastifySchemaCompiler<object> {
  const ajv = new Ajv({ strict: true, allErrors: false, coerceTypes: false, removeAdditional: false, useDefaults: false });
  return ({ schema }) => {
    let validate: ValidateFunction | undefined;
    return (value: unknown) => {
      validate ??= ajv.compile(schema);
      return validate(value) ? true : { error: new KmsError('BadRequest', { hint: describe(validate.errors?.[0], schema) }) };
    };
  };
}

/** Which field of ours is wrong and how; never what the caller wrote, not even a name. */
function describe(error: ErrorObject | undefined, schema: object): string {
  if (error === undefined) return 'the body does not fit its schema';
  if (error.keyword === 'additionalProperties') return 'there is a field that this call does not know';
  const field = error.instancePath.split('/').filter((step) => /^\d{1,3}$/.test(step) || isKnown(step, schema)).join('.');
  const rule = error.keyword === 'required' ? `needs ${String(error.params['missingProperty'])}` : (rules[error.keyword] ?? 'does not fit');
  return `${field === '' ? 'the request' : field} ${rule}`;
}

const rules: Readonly<Record<string, string>> = {
  type: 'has the wrong type',
  pattern: 'has the wrong form',
  enum: 'is not one of the allowed values',
  minLength: 'is too short',
  maxLength: 'is too long',
  minItems: 'has too few items',
  maxItems: 'has too many items',
  minimum: 'is too small',
  maximum: 'is too large',
};

/** Whether a word stands in the schema itself, as the name of a property. */
function isKnown(word: string, schema: object): boolean {
  return JSON.stringify(schema).includes(`"${word}":{`) && /^[a-z_0-9]+$/.test(word);
}
