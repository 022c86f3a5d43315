import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/**
 * What takes long: every point of a crash, real devices and disks, floods, hours of simulation. `npm test` has all the others, and
 * `npm run test:long` these; each test is in one of the two, and CI runs both.
 */
const LONG = [
  'test/adapters/{audit-file-faults,audit-real-disk,audit-scheduler}.test.ts',
  'test/bench/**',
  'test/chaos/**',
  'test/e2e/{audit-crash,audit-disk,audit-faults,backup-restore,cloud,edge,pkcs11,pkcs11-faults,pkcs11-standby,rekey,reload,restore-crash,store-crash,store-durable,token-lists,tpm}.test.ts',
  'test/fuzz/**',
  'test/models/**',
  'test/sim/**',
].map((pattern) => (pattern.endsWith('**') ? `${pattern}/*.test.ts` : pattern));
// Not named as a setting would be: the service refuses what it does not know.
const isLong = process.env['KMS_TESTS'] === 'long';
/** `npm run coverage`: V8 counts in every process, and the files are loaded as they are, so that what it says is of them. */
const isCounting = process.env['NODE_V8_COVERAGE'] !== undefined;
/** Whoever names a file means it. */
const isNamed = process.argv.some((word) => word.startsWith('test/'));

export default defineConfig({
  test: {
    include: isLong ? LONG : ['test/**/*.test.ts'],
    // That nothing is written to any file cannot hold while counts are.
    exclude: ['**/node_modules/**', ...(isLong || isNamed ? [] : LONG), ...(isCounting ? ['test/e2e/amnesia.test.ts'] : [])],
    pool: 'forks',
    // Many tests wait for processes, disks and clocks.
    maxWorkers: 2 * availableParallelism(),
    execArgv: ['--secure-heap=4194304', '--secure-heap-min=16', '--experimental-ffi', '--disable-warning=ExperimentalWarning'],
    ...(isCounting && { setupFiles: ['test/harness/take-coverage.ts'], experimental: { viteModuleRunner: false } }),
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
