import { defineConfig } from 'vitest/config';
import whole from '../../vitest.config.ts';

/** What holds the services in one process: their own suites, and calls to a service that is wired there. */
export default defineConfig({
  test: {
    ...whole.test,
    include: [
      'test/service/{clock-guard,custody-guard,evidence,integrity,known-ends,mutate,rate-limits,refusals,settle,work-queue}.test.ts',
      'test/e2e/{audit-before-answer,audit-integrity,audit-records,audit-refusals,changed-meanwhile}.test.ts',
    ],
    execArgv: [],
  },
});
