export interface ClientOptions {
    /** Where the service listens: `https://kms.mesh:9446`. */
    readonly url: string;
    /** The capability token; or what gives the one to use now, asked before each attempt. */
    readonly token: string | (() => string | Promise<string>);
    /** Instead of the global one: for a connection pool or TLS of your own. */
    readonly fetch?: typeof globalThis.fetch;
    /** For a whole call with all of its attempts and waits; 10 s when left out. */
    readonly timeoutMs?: number;
}
export interface CallOptions {
    /** Instead of the client's own. */
    readonly timeoutMs?: number;
    /** Gives the call up: it rejects with the signal's reason. */
    readonly signal?: AbortSignal;
    /** A UUID that stands in the logs of the service, to follow a request over several. */
    readonly corrId?: string;
}
interface Call {
    readonly method: 'GET' | 'POST' | 'PATCH';
    /** Below the base path, encoded. */
    readonly path: string;
    readonly body?: object;
    /** May be sent twice without being done twice. */
    readonly isSafe: boolean;
    /** What the answer is; JSON when left out. */
    readonly answers?: keyof typeof media;
}
/** What an answer can be, by the content type that says so. */
declare const media: {
    readonly json: 'application/json';
    readonly text: 'text/plain';
    readonly bytes: 'application/octet-stream';
};
export type Transport = (call: Call, options?: CallOptions) => Promise<unknown>;
/** Sends calls: one deadline over all attempts, retries where they are safe, every refusal a `KmsClientError`. */
export declare function createTransport({ url, token, fetch: send, timeoutMs: usualTimeoutMs }: ClientOptions): Transport;
export {};
