import { BaseSequencer } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import whole from '../../vitest.config.ts';

/** A mutant is done with at the first test that fails: the quick suites go ahead. */
class QuickFirst extends BaseSequencer {
  override async sort(...[files]: Parameters<BaseSequencer['sort']>): ReturnType<BaseSequencer['sort']> {
    return files.toSorted((a, b) => turnOf(a.moduleId) - turnOf(b.moduleId) || a.moduleId.localeCompare(b.moduleId));
  }
}

function turnOf(path: string): number {
  if (!path.includes('/test/core/')) return 2;
  return path.includes('/test/core/log-') ? 1 : 0;
}

/** The suites of core that stay in one process. Published vectors lie beside the checkout, where a mutant has none, and hold the adapters. */
export default defineConfig({
  test: {
    ...whole.test,
    include: ['test/core/**/*.test.ts', 'test/vectors/{distinct-keys,formats,log-format,rfc}.test.ts', 'test/adapters/audit-entry-layout.test.ts'],
    isolate: false,
    execArgv: [],
    sequence: { sequencer: QuickFirst },
  },
});
