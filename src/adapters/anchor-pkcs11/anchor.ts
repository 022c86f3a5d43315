import type { Anchor } from '../../ports/anchor.ts';
import type { AnchorRecord, Mac } from '../anchor-file/record.ts';
import type { TokenCalls } from '../custody-pkcs11/protocol.ts';
import { KmsError } from '../../core/errors.ts';
import { encodeAnchorRecord, faultOfStep, parseAnchorRecord } from '../anchor-file/record.ts';

export interface TokenAnchorDeps {
  readonly token: Pick<TokenCalls, 'readData' | 'writeData'>;
  readonly origin: string;
  readonly mac: Mac;
}

/** The record of the file anchor, as a private data object of a token: PKCS #11 has no counter that tokens have (docs/formats/anchor.md). */
export function createTokenAnchor({ token, origin, mac }: TokenAnchorDeps): Anchor {
  const label = `ron-kms anchor ${origin}`;

  /** Two are there when a write was cut short: the higher one was on its way. */
  const read = async (): Promise<AnchorRecord | { readonly fault: string } | undefined> => {
    const records = (await token.readData(label)).map((bytes) => parseAnchorRecord(Buffer.from(bytes), origin, mac));
    if (records.some((record) => record === undefined || 'otherOrigin' in record)) return { fault: `the token's object "${label}" was not written by this service, or was changed` };
    return records.flatMap((record) => (record === undefined || 'otherOrigin' in record ? [] : [record])).toSorted((one, other) => other.value - one.value)[0];
  };

  return {
    kind: 'pkcs11',
    read: () => reaching(read),
    advance: (value, { treeSize, rootHash }) => reaching(async () => {
      const held = await read();
      if (held !== undefined && 'fault' in held) return held;
      const fault = faultOfStep(held, value, treeSize, 'the token\'s anchor');
      if (fault !== undefined) return { fault };
      await token.writeData(label, encodeAnchorRecord({ origin, value, head: { treeSize, rootHash } }, mac));
      return {};
    }),
  };
}

async function reaching<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new KmsError('AuditUnavailable', { hint: 'the anchor cannot be reached', cause });
  }
}
