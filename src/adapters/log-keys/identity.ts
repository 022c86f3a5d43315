import type { DurableFile } from '../files/durable-file.ts';
import { parseRfc3339 } from '../../core/time.ts';
import { parseStrictJson } from '../../core/strict-json.ts';

/** Who a log is: made once by `ron-kms init`, and with every new log. */
export interface LogIdentity {
  readonly instanceId: string;
  readonly createdAt: string;
}

const INSTANCE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The first line of every checkpoint, and the name of every key that signs them. */
export function originOf(instanceId: string): string {
  return `ron-kms/${instanceId}`;
}

/** `identity.json` below `audit.dir`. Nothing in it is secret; keys and entries are bound to it. */
export function formatIdentity({ instanceId, createdAt }: LogIdentity): string {
  return `${JSON.stringify({ v: 1, instance_id: instanceId, origin: originOf(instanceId), created_at: createdAt })}\n`;
}

export async function readIdentity(file: Pick<DurableFile, 'read'>): Promise<LogIdentity> {
  const bytes = await file.read().catch((fault: unknown) => {
    throw new Error('audit.dir has no identity.json: ron-kms init makes one; where a log was, look for the disk it was on', { cause: fault });
  });
  const { v, instance_id: instanceId, origin, created_at: createdAt, ...more } = objectIn(bytes);
  const isWhole = v === 1 && typeof instanceId === 'string' && INSTANCE_ID.test(instanceId) && origin === originOf(instanceId)
    && typeof createdAt === 'string' && parseRfc3339(createdAt) !== undefined && Object.keys(more).length === 0;
  if (!isWhole) throw new Error('identity.json in audit.dir is not one of this version: it was changed, or cut short');
  return { instanceId, createdAt };
}

function objectIn(bytes: Buffer): Record<string, unknown> {
  try {
    return { ...parseStrictJson(bytes) };
  } catch {
    return {};
  }
}
