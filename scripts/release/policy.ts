/** What may come in with the packages that are depended on (docs/adr/0021-releases.md). */

/** SPDX; of an `OR` one of them is enough. */
export const LICENCES_ALLOWED: ReadonlySet<string> = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'CC0-1.0', 'ISC', 'MIT', 'Unlicense']);

/** Only among what is never shipped: file-level copyleft and CC-BY bind who distributes, and Python-2.0 is a notice. */
export const LICENCES_ALLOWED_FOR_DEVELOPMENT: ReadonlySet<string> = new Set([...LICENCES_ALLOWED, 'CC-BY-4.0', 'MPL-2.0', 'Python-2.0']);

/** Whose install script may run, and why. */
export const INSTALL_SCRIPTS_ALLOWED: Readonly<Record<string, string>> = { pkcs11js: 'compiles the binding of PKCS #11; optional, and no key is touched without it' };

/** Never again, and why. */
export const BANNED: Readonly<Record<string, string>> = {
  'crypto-js': 'unmaintained, and not for secrets',
  elliptic: 'a history of signatures that verify and should not',
  forge: 'cryptography in JavaScript', 'node-forge': 'cryptography in JavaScript',
  jsonwebtoken: 'algorithms chosen by who sends the token',
  macaroon: 'grows its buffer exponentially: four caveats crash it',
  node: 'pulls an unlocked binary by an install script: see docs/adr/0001',
  request: 'unmaintained',
};
