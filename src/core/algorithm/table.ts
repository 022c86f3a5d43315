/**
 * The one descriptor table of algorithms (DESIGN §2). Nothing else in the code lists them: parsing,
 * policy, wire schemas, custody and documentation read these rows.
 */

/** What `allowed_algs` and `allowed_aeads` name. A combined algorithm needs both of its families. */
type SignatureOrKemFamily = 'ed25519' | 'ml-dsa' | 'x25519' | 'ml-kem';
type AeadFamily = 'aes-256-gcm' | 'chacha20-poly1305';
type Family = SignatureOrKemFamily | AeadFamily;

export type SignatureSchemeName = 'Ed25519' | 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87' | 'MLDSA65-Ed25519-SHA512';
export type KemName = 'X25519' | 'ML-KEM-768' | 'ML-KEM-1024' | 'X-Wing';
export type AeadName = 'AES-256-GCM' | 'ChaCha20-Poly1305';

export interface SignatureScheme {
  readonly kind: 'signature';
  readonly name: SignatureSchemeName;
  /** `alg` of one signature or public part on the wire. */
  readonly wireAlg: 'ed25519' | 'ml-dsa' | 'mldsa65-ed25519-sha512';
  /** `parameter_set` on the wire, where the algorithm has several. */
  readonly parameterSet?: 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87';
  readonly signatureBytes: number;
  readonly publicBytes: number;
  /** Rests on a classical problem, on a post-quantum one, or (the composite) on both. */
  readonly classical: boolean;
  readonly postQuantum: boolean;
  /** Takes a context string of up to 255 bytes (FIPS 204 §5.2). */
  readonly hasContext: boolean;
}

export interface Kem {
  readonly kind: 'kem';
  readonly name: KemName;
  readonly wireAlg: 'x25519' | 'ml-kem' | 'x25519+ml-kem';
  readonly parameterSet?: 'ML-KEM-768' | 'ML-KEM-1024';
  /** HPKE KEM identifier (RFC 9180 §7.1 and the IANA registry). */
  readonly kemId: number;
  readonly encapsulatedBytes: number;
  readonly publicBytes: number;
  readonly postQuantum: boolean;
  /** What `kem_mode` may say of it. */
  readonly mode: 'classical' | 'pq' | 'hybrid';
}

export interface Aead {
  readonly kind: 'aead';
  readonly name: AeadName;
  readonly wireAlg: AeadFamily;
  /** HPKE AEAD identifier (RFC 9180 §7.3). */
  readonly aeadId: number;
  /** OpenSSL's name. */
  readonly cipher: 'aes-256-gcm' | 'chacha20-poly1305';
}

/** Both AEADs: 256-bit keys, 96-bit nonces, 128-bit tags. */
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

const mlDsa = (parameterSet: 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87', publicBytes: number, signatureBytes: number) =>
  ({ kind: 'signature', name: parameterSet, wireAlg: 'ml-dsa', parameterSet, signatureBytes, publicBytes, classical: false, postQuantum: true, hasContext: true }) as const;

/** FIPS 204 table 2, RFC 8032 §5.1, draft-ietf-lamps-pq-composite-sigs-19. */
export const signatureSchemes = {
  Ed25519: { kind: 'signature', name: 'Ed25519', wireAlg: 'ed25519', signatureBytes: 64, publicBytes: 32, classical: true, postQuantum: false, hasContext: false },
  'ML-DSA-44': mlDsa('ML-DSA-44', 1312, 2420),
  'ML-DSA-65': mlDsa('ML-DSA-65', 1952, 3309),
  'ML-DSA-87': mlDsa('ML-DSA-87', 2592, 4627),
  'MLDSA65-Ed25519-SHA512': {
    kind: 'signature', name: 'MLDSA65-Ed25519-SHA512', wireAlg: 'mldsa65-ed25519-sha512',
    signatureBytes: 3373, publicBytes: 1984, classical: true, postQuantum: true, hasContext: true,
  },
} as const satisfies Record<SignatureSchemeName, SignatureScheme>;

/** RFC 9180 §7.1, FIPS 203 table 3, draft-connolly-cfrg-xwing-kem. */
export const kems = {
  X25519: { kind: 'kem', name: 'X25519', wireAlg: 'x25519', kemId: 0x0020, encapsulatedBytes: 32, publicBytes: 32, postQuantum: false, mode: 'classical' },
  'ML-KEM-768': {
    kind: 'kem', name: 'ML-KEM-768', wireAlg: 'ml-kem', parameterSet: 'ML-KEM-768',
    kemId: 0x0041, encapsulatedBytes: 1088, publicBytes: 1184, postQuantum: true, mode: 'pq',
  },
  'ML-KEM-1024': {
    kind: 'kem', name: 'ML-KEM-1024', wireAlg: 'ml-kem', parameterSet: 'ML-KEM-1024',
    kemId: 0x0042, encapsulatedBytes: 1568, publicBytes: 1568, postQuantum: true, mode: 'pq',
  },
  'X-Wing': { kind: 'kem', name: 'X-Wing', wireAlg: 'x25519+ml-kem', kemId: 0x647a, encapsulatedBytes: 1120, publicBytes: 1216, postQuantum: true, mode: 'hybrid' },
} as const satisfies Record<KemName, Kem>;

/** RFC 9180 §7.3, RFC 8439, NIST SP 800-38D. */
export const aeads = {
  'AES-256-GCM': { kind: 'aead', name: 'AES-256-GCM', wireAlg: 'aes-256-gcm', aeadId: 0x0002, cipher: 'aes-256-gcm' },
  'ChaCha20-Poly1305': { kind: 'aead', name: 'ChaCha20-Poly1305', wireAlg: 'chacha20-poly1305', aeadId: 0x0003, cipher: 'chacha20-poly1305' },
} as const satisfies Record<AeadName, Aead>;

/** What a key of one algorithm and parameter set is made of. */
export type KeySpec =
  | { readonly kind: 'signature'; readonly schemes: readonly SignatureScheme[] }
  | { readonly kind: 'kem'; readonly kem: Kem }
  | { readonly kind: 'aead'; readonly aead: Aead };

interface AlgorithmRow {
  readonly families: readonly Family[];
  /** Specs by `parameter_set`; the first is the default. `''` where the algorithm has no parameter sets. */
  readonly specs: Readonly<Record<string, KeySpec>>;
}

const { Ed25519 } = signatureSchemes;

/** Keyed by the `alg` of a kid. */
export const algorithms = {
  ed25519: { families: ['ed25519'], specs: { '': signs(Ed25519) } },
  'ml-dsa': {
    families: ['ml-dsa'],
    specs: {
      'ML-DSA-65': signs(signatureSchemes['ML-DSA-65']),
      'ML-DSA-44': signs(signatureSchemes['ML-DSA-44']),
      'ML-DSA-87': signs(signatureSchemes['ML-DSA-87']),
    },
  },
  'ed25519+ml-dsa': {
    families: ['ed25519', 'ml-dsa'],
    specs: {
      'ML-DSA-65': signs(Ed25519, signatureSchemes['ML-DSA-65']),
      'ML-DSA-44': signs(Ed25519, signatureSchemes['ML-DSA-44']),
      'ML-DSA-87': signs(Ed25519, signatureSchemes['ML-DSA-87']),
    },
  },
  'mldsa65-ed25519-sha512': { families: ['ed25519', 'ml-dsa'], specs: { '': signs(signatureSchemes['MLDSA65-Ed25519-SHA512']) } },
  x25519: { families: ['x25519'], specs: { '': wraps(kems.X25519) } },
  'ml-kem': { families: ['ml-kem'], specs: { 'ML-KEM-768': wraps(kems['ML-KEM-768']), 'ML-KEM-1024': wraps(kems['ML-KEM-1024']) } },
  'x25519+ml-kem': { families: ['x25519', 'ml-kem'], specs: { '': wraps(kems['X-Wing']) } },
  'aes-256-gcm': { families: ['aes-256-gcm'], specs: { '': { kind: 'aead', aead: aeads['AES-256-GCM'] } } },
  'chacha20-poly1305': { families: ['chacha20-poly1305'], specs: { '': { kind: 'aead', aead: aeads['ChaCha20-Poly1305'] } } },
} as const satisfies Record<string, AlgorithmRow>;

export type Alg = keyof typeof algorithms;

export const algNames = Object.keys(algorithms) as readonly Alg[];

const rows: Readonly<Record<Alg, AlgorithmRow>> = algorithms;

export function isAlg(text: string): text is Alg {
  return Object.hasOwn(algorithms, text);
}

/** The parameter set a key of this algorithm gets: the asked one, else the default; undefined where there are none. */
export function parameterSetOf(alg: Alg, asked: string | undefined): { readonly ok: boolean; readonly parameterSet: string | undefined } {
  const names = Object.keys(rows[alg].specs);
  if (asked !== undefined) return { ok: asked !== '' && names.includes(asked), parameterSet: asked };
  return { ok: true, parameterSet: names[0] === '' ? undefined : names[0] };
}

/** What a key of this algorithm and (existing) parameter set is made of. */
export function specOf(alg: Alg, parameterSet: string | undefined): KeySpec {
  const spec = rows[alg].specs[parameterSet ?? ''];
  if (spec === undefined) throw new Error('no such parameter set');
  return spec;
}

/** Every spec that a key of this algorithm can have. */
export function specsOf(alg: Alg): readonly KeySpec[] {
  return Object.values(rows[alg].specs);
}

/** True when every family of the algorithm is allow-listed. */
export function isAllowed(alg: Alg, allowed: ReadonlySet<string>): boolean {
  return rows[alg].families.every((family) => allowed.has(family));
}

/** `alg` of POST /keys left out: purposes starting `kem` or `wrap` wrap, any other signs; both hybrid. */
export function defaultAlg(purpose: string): Alg {
  return /^(kem|wrap)/.test(purpose) ? 'x25519+ml-kem' : 'ed25519+ml-dsa';
}

/** True when a key of this spec has a part that resists a quantum computer; symmetric keys are exempt (DESIGN §3). */
export function satisfiesPostQuantum(spec: KeySpec): boolean {
  if (spec.kind === 'aead') return true;
  return spec.kind === 'kem' ? spec.kem.postQuantum : spec.schemes.some((scheme) => scheme.postQuantum);
}

function signs(...schemes: readonly SignatureScheme[]): KeySpec {
  return { kind: 'signature', schemes };
}

function wraps(kem: Kem): KeySpec {
  return { kind: 'kem', kem };
}
