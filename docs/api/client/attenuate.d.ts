/**
 * The token narrowed by more caveats, `name = value` each, in this order. Needs no key and no call to the service, and
 * cannot be undone: hand on the answer and keep the token (Birgisson et al., Macaroons, NDSS 2014).
 * Whether a caveat is known is for the service to say: an unknown one makes the token good for nothing.
 */
export declare function attenuateToken(token: string, caveats: readonly string[]): string;
