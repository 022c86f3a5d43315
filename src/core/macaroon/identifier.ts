/** `ron1.<root_key_id>.<client_id>.<token_id>` (DESIGN §5). */
export interface TokenIdentity {
  readonly rootKeyId: string;
  readonly clientId: string;
  readonly tokenId: string;
}

const IDENTIFIER = /^ron1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})$/;

export function parseIdentifier(bytes: Buffer): TokenIdentity | undefined {
  const match = IDENTIFIER.exec(bytes.toString('latin1'));
  if (match === null) return undefined;
  const [, rootKeyId = '', clientId = '', tokenId = ''] = match;
  return { rootKeyId, clientId, tokenId };
}

export function formatIdentifier({ rootKeyId, clientId, tokenId }: TokenIdentity): string {
  return `ron1.${rootKeyId}.${clientId}.${tokenId}`;
}
