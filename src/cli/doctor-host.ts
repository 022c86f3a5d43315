import type { Finding, Host } from './doctor-finding.ts';
import { isNodeCurrent, NODE_NEEDED } from './node-version.ts';

const KIB = 1024;
const MIB = 1024 ** 2;
const MEMLOCK_WANTED_BYTES = 64 * MIB;
/** Nothing of this program is older: a clock before it is one that was never set. */
const EARLIEST_MS = Date.parse('2026-01-01T00:00:00Z');

/** The process and the machine under it. */
export function checkHost(host: Host): readonly Finding[] {
  const { nodeVersion, coreDumpsOff, lockedKiB, isOwnMemoryLocked, secureHeapBytes } = host;
  return [
    isNodeCurrent(nodeVersion)
      ? { name: 'node', level: 'ok', says: nodeVersion }
      : { name: 'node', level: 'wrong', says: nodeVersion, advice: NODE_NEEDED },
    coreDumpsOff
      ? { name: 'core dumps', level: 'ok', says: 'off' }
      : { name: 'core dumps', level: 'wrong', says: 'could not be turned off: a crash would write keys to disk', advice: 'start with bin/ron-kms, on Linux, and set ulimit -c 0 (LimitCORE=0)' },
    isOwnMemoryLocked
      ? { name: 'locked memory', level: 'ok', says: `${lockedKiB} KiB are locked (VmLck)` }
      : { name: 'locked memory', level: 'wrong', says: `a page that was to be locked was not (VmLck is ${lockedKiB} KiB): keys may be swapped to disk`, advice: 'raise the memlock limit: LimitMEMLOCK=64M, or ulimit -l 65536' },
    memlockLimit(host),
    secureHeapBytes > 0
      ? { name: 'secure heap', level: 'ok', says: `${secureHeapBytes / MIB} MiB` }
      : { name: 'secure heap', level: 'wrong', says: 'OpenSSL has none', advice: 'start with bin/ron-kms, which asks for one' },
    clock(host),
  ];
}

function memlockLimit({ memlockLimitBytes }: Host): Finding {
  const name = 'memlock limit';
  if (memlockLimitBytes === undefined) return { name, level: 'weak', says: 'not known here', advice: 'this is looked up in /proc, so only on Linux' };
  if (memlockLimitBytes === Infinity) return { name, level: 'ok', says: 'none' };
  const says = `${Math.floor(memlockLimitBytes / KIB)} KiB`;
  return memlockLimitBytes >= MEMLOCK_WANTED_BYTES
    ? { name, level: 'ok', says }
    : { name, level: 'weak', says: `${says}, of which OpenSSL's secure heap takes 4096`, advice: 'raise it to 64 MiB: LimitMEMLOCK=64M, or ulimit -l 65536' };
}

function clock({ isClockSynchronised }: Host): Finding {
  const nowMs = Date.now();
  const says = new Date(nowMs).toISOString();
  if (nowMs < EARLIEST_MS) return { name: 'clock', level: 'wrong', says: `it says ${says}`, advice: 'set it; tokens and the log depend on it' };
  return isClockSynchronised === false
    ? { name: 'clock', level: 'weak', says: `${says}, and the kernel says it is not synchronised`, advice: 'run chrony or systemd-timesyncd on this machine or its host' }
    : { name: 'clock', level: 'ok', says };
}
