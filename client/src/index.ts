/** The package's entry. */
export { attenuateToken } from './attenuate.ts';
export { createClient } from './client.ts';
export { KmsClientError } from './errors.ts';
export type { KmsClient, ListOptions } from './client.ts';
export type { KmsErrorCode, KmsErrorDetail } from './errors.ts';
export type { CallOptions, ClientOptions } from './transport.ts';
export type * from './wire.ts';
