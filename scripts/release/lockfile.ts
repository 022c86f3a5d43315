import { BANNED, INSTALL_SCRIPTS_ALLOWED, LICENCES_ALLOWED, LICENCES_ALLOWED_FOR_DEVELOPMENT } from './policy.ts';

/** As much of package-lock.json as is read. */
export interface Lockfile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const EXACT = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;
const INTEGRITY = /^sha512-[A-Za-z0-9+/]{86}==$/;
const MODULES = 'node_modules/';

/** What of the dependencies is not as the policy has it, one line each; `own` are our package.json files by their folder. */
export function faultsOfLockfile({ lockfileVersion, packages }: Lockfile, own: readonly string[]): readonly string[] {
  const faults: string[] = lockfileVersion === 3 ? [] : [`the lockfile has version ${lockfileVersion}`];
  for (const folder of own) {
    const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = packages[folder] ?? {};
    for (const [name, range] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      if (!EXACT.test(range)) faults.push(`${name} is asked for as ${range}: write one exact version`);
    }
  }
  for (const [path, locked] of Object.entries(packages)) {
    if (own.includes(path) || locked.link === true) continue;
    faults.push(...faultsOf(path.slice(path.lastIndexOf(MODULES) + MODULES.length), locked));
  }
  return faults;
}

function faultsOf(name: string, { version = '', resolved, integrity, license, dev = false, hasInstallScript = false }: LockedPackage): readonly string[] {
  const what = `${name} ${version}`;
  const allowed = dev ? LICENCES_ALLOWED_FOR_DEVELOPMENT : LICENCES_ALLOWED;
  return [
    ...(integrity !== undefined && INTEGRITY.test(integrity) ? [] : [`${what} has no SHA-512 in the lockfile`]),
    ...(resolved === undefined ? [] : [`${what} names an address to be loaded from`]),
    ...(isLicensed(license, allowed) ? [] : [`${what} has the licence ${license ?? 'none'}, which is not allowed ${dev ? 'for development' : 'in what is shipped'}`]),
    ...(hasInstallScript && !Object.hasOwn(INSTALL_SCRIPTS_ALLOWED, name) ? [`${what} runs an install script`] : []),
    ...(Object.hasOwn(BANNED, name) ? [`${what} is banned: ${BANNED[name]}`] : []),
  ];
}

/** An SPDX expression of names joined by OR or AND, in parentheses or not. */
function isLicensed(licence: string | undefined, allowed: ReadonlySet<string>): boolean {
  if (licence === undefined) return false;
  return licence.replaceAll(/[()]/g, '').split(' OR ').some((all) => all.split(' AND ').every((one) => allowed.has(one.trim())));
}
