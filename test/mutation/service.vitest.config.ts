import { fileURLToPath } from 'node:url';
import { BaseSequencer } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import whole from '../../vitest.config.ts';

const HERE = fileURLToPath(new URL('service-here.ts', import.meta.url));
/** Suites that wait for clocks, disks or key derivation. */
const SLOW = /(anchoring|anchoring-faults|audit-records|backup-restore|keys-life|keys-list|keys-wrap|log-keys-change|policy|rekey|reload)\.test\.ts$/;

/** A mutant is done with at the first test that fails: the quick suites go ahead. */
class QuickFirst extends BaseSequencer {
  override async sort(...[files]: Parameters<BaseSequencer['sort']>): ReturnType<BaseSequencer['sort']> {
    return files.toSorted((a, b) => turnOf(a.moduleId) - turnOf(b.moduleId) || a.moduleId.localeCompare(b.moduleId));
  }
}

function turnOf(path: string): number {
  if (SLOW.test(path)) return 2;
  return path.includes('/test/service/') ? 0 : 1;
}

/** What holds the services in one process: their own suites, and calls to a service that runs there instead of in a process of its own. */
export default defineConfig({
  plugins: [{
    name: 'service-here',
    enforce: 'pre',
    resolveId: (id, importer) => (/(harness|\.)\/service\.ts$/.test(id) && /\/test\/(e2e|harness|service)\//.test(importer ?? '') ? HERE : undefined),
  }],
  test: {
    ...whole.test,
    include: [
      'test/service/*.test.ts',
      'test/e2e/audit-{admin,before-answer,entries,integrity,records,refusals,tiles}.test.ts',
      'test/e2e/keys-{life,list,modes,op-id,sign,wrap}.test.ts',
      'test/e2e/{token,token-keys,token-rate}.test.ts',
      'test/e2e/{canary,changed-meanwhile,hints,limits,log-inputs,policy,pq-migration,quotas,tightened}.test.ts',
      'test/e2e/{backup-restore,rekey,reload}.test.ts',
    ],
    exclude: [],
    isolate: false,
    execArgv: [],
    sequence: { sequencer: QuickFirst },
  },
});
