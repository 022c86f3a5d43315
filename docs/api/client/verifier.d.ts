import type { KmsClient } from './client.ts';
import type { CallOptions } from './transport.ts';
import type { VerifyAnswer, VerifyBody } from './wire.ts';
export interface VerifierOptions {
    /** How long what is known of a key is good while the service is out; 5 minutes when left out. */
    readonly ttlMs?: number;
    /** For the service to answer, before it is done without; 1 s when left out. */
    readonly patienceMs?: number;
    /** Keys that are remembered, at most; 1,000 when left out. */
    readonly keysMax?: number;
}
/** `fromCache`: the service was out, and nothing it would say now is in this answer. */
export type VerifierAnswer = VerifyAnswer & {
    readonly fromCache: boolean;
};
export interface Verifier {
    /** As `client.verify`; while the service is out, from the public keys that it gave before, which the answer says. */
    verify(body: VerifyBody, call?: CallOptions): Promise<VerifierAnswer>;
    /** Remembers these keys before anything of them is verified. Needs `kms:read`. */
    learn(kids: readonly string[], call?: CallOptions): Promise<void>;
}
/**
 * Verifies with the service, and without it while it is out: restarted, unreachable, without its backend. Then an answer is
 * as old as its `cache_age_ms`: a key that was disabled, a token that was revoked since then, it does not know of.
 */
export declare function createVerifier(client: Pick<KmsClient, 'verify' | 'getKey'>, { ttlMs, patienceMs, keysMax }?: VerifierOptions): Verifier;
