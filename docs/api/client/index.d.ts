/** The package's entry. */
export { attenuateToken } from './attenuate.ts';
export { createClient } from './client.ts';
export { KmsClientError } from './errors.ts';
export { checkEvidence } from './log/evidence.ts';
export { checkReceipt } from './log/receipt.ts';
export { verifyCheckpointNote } from './log/verify-note.ts';
export { parseVkey } from './log/vkey.ts';
export { createVerifier } from './verifier.ts';
export type { AuditRecord, KmsClient, ListOptions, RecordsOptions } from './client.ts';
export type { KmsErrorCode, KmsErrorDetail } from './errors.ts';
export type { Checkpoint } from './log/checkpoint.ts';
export type { CheckedEvidence, EvidencePins, EvidenceStatement, TokenState, TpmState } from './log/evidence.ts';
export type { CheckedEntry, CheckedReceipt } from './log/receipt.ts';
export type { NoteFault, VerifiedCheckpoint } from './log/verify-note.ts';
export type { SignatureType, VerifierKey } from './log/vkey.ts';
export type { CallOptions, ClientOptions } from './transport.ts';
export type { Verifier, VerifierAnswer, VerifierOptions } from './verifier.ts';
export type * from './wire.ts';
