import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';

/** What to say of a fault, and the exit code it ends with. */
export function describeFault(fault: unknown): { readonly text: string; readonly exitCode: number } {
  if (!(fault instanceof Error)) return { text: 'it failed', exitCode: EXIT.refused };
  const code = 'code' in fault ? String(fault.code) : '';
  if (fault instanceof UsageError || fault.name === 'ConfigError' || code.startsWith('ERR_PARSE_ARGS')) return { text: fault.message, exitCode: EXIT.usage };
  if (code === 'EADDRINUSE') return { text: 'the address is in use: another service listens there; choose another with --bind-addr or --metrics-addr', exitCode: EXIT.usage };
  return { text: fault.message, exitCode: EXIT.refused };
}
