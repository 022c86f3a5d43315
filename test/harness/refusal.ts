import { errorTable } from '../../src/core/errors.ts';

/** Stands in every bad value; it must come back in no answer and stand in no log. */
export const CANARY = 'zq7canary';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
/** A stack frame, a path of ours or of a dependency, or the words of a foreign fault. */
const INSIDES = /\bat [^"]+:\d+:\d+|node_modules|\/src\/|\.ts:\d+|FST_ERR|HPE_|ajv|SyntaxError|TypeError|Unexpected token/;

export interface RefusalSeen {
  readonly status: number;
  readonly text: string;
  readonly header: (name: string) => string | null | undefined;
}

/** What is wrong with a refusal, in words; nothing when it is as DESIGN §4 says. */
export function faultsOfRefusal({ status, text, header }: RefusalSeen, codes: readonly string[]): readonly string[] {
  const body = parse(text);
  const faults = faultsOfEnvelope(body, status, codes);
  if (!/^application\/json\b/.test(header('content-type') ?? '')) faults.push(`content type ${header('content-type')}`);
  if (header('x-request-id') !== body?.['error']?.request_id) faults.push(`X-Request-ID ${header('x-request-id')} is not the request_id of the body`);
  if (!UUID.test(header('x-corr-id') ?? '')) faults.push(`X-Corr-ID ${header('x-corr-id')}`);
  if ((status === 429 || status === 503) !== /^\d+$/.test(header('retry-after') ?? '')) faults.push(`Retry-After ${header('retry-after')} with ${status}`);
  return [...faults, ...faultsOfText(text)];
}

/** The same for the error of a batch item, which travels without headers. */
export function faultsOfItem(item: unknown, codes: readonly string[]): readonly string[] {
  return [...faultsOfEnvelope(item as Envelope, undefined, codes), ...faultsOfText(JSON.stringify(item))];
}

type Envelope = Record<string, any> | undefined;

function faultsOfEnvelope(body: Envelope, status: number | undefined, codes: readonly string[]): string[] {
  const error = body?.['error'] as Envelope;
  if (body === undefined || error === undefined || Object.keys(body).length !== 1) return [`answered ${status} without the envelope`];
  const faults: string[] = [];
  const row = errorTable[error['code'] as keyof typeof errorTable];
  if (!codes.includes(error['code'])) faults.push(`code ${error['code']}, not ${codes.join(' or ')}`);
  if (status !== undefined && !(row?.statuses as readonly number[] | undefined)?.includes(status)) faults.push(`${error['code']} with status ${status}`);
  const fields = Object.keys(error).filter((name) => name !== 'hint').toSorted().join();
  if (fields !== 'code,message,request_id,retryable,ts') faults.push(`fields ${fields}`);
  if ('hint' in error && typeof error['hint'] !== 'string') faults.push('hint is no string');
  if (error['message'] !== row?.message || error['retryable'] !== row?.retryable) faults.push('message or retryable not of the table');
  if (!TIME.test(error['ts'])) faults.push(`ts ${error['ts']}`);
  if (!UUID.test(error['request_id'])) faults.push(`request_id ${error['request_id']}`);
  return faults;
}

function faultsOfText(text: string): string[] {
  return [
    ...(text.toLowerCase().includes(CANARY) ? ['it echoes the input'] : []),
    ...(INSIDES.test(text) ? [`it shows its insides: ${text.slice(0, 200)}`] : []),
  ];
}

function parse(text: string): Envelope {
  try {
    return JSON.parse(text) as Record<string, any>;
  } catch {
    return undefined;
  }
}
