import { UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';

export interface DescribedFault {
  /** For people, one line where it can be. */
  readonly text: string;
  /** For programs: the error of the service as it sent it, else one of the same form. */
  readonly error: object;
  readonly exitCode: number;
}

/** The errors of the client by what they show, so that commands which call no service do not load it. */
interface ClientFault extends Error {
  readonly code: string;
  readonly status: number;
  readonly hint?: string;
  readonly requestId?: string;
}

const START_ONE = 'start one with ron-kms serve --profile micronode, or say where it is with --url or RON_KMS_URL';

/** What to say of a fault, and the exit code it ends with. Never a stack. */
export function describeFault(fault: unknown): DescribedFault {
  if (!(fault instanceof Error)) return described('Failed', 'it failed', EXIT.refused);
  if (isClientFault(fault)) return describeClientFault(fault);
  const code = 'code' in fault ? String(fault.code) : '';
  if (fault instanceof UsageError || fault.name === 'ConfigError') return described('Usage', fault.message, EXIT.usage);
  if (fault.name === 'DeviceRefused') return described('DeviceRefused', fault.message, EXIT.device);
  if (code === 'EADDRINUSE') return described('Usage', 'the address is in use: another service listens there; choose another with --bind-addr or --metrics-addr', EXIT.usage);
  return described('Failed', fault.message, EXIT.refused);
}

function describeClientFault(fault: ClientFault): DescribedFault {
  const { code, status, message, hint, requestId, cause } = fault;
  // No status: nothing that a ron-kms says came back.
  if (status === 0 || code === 'BadAnswer') return described(code, `${message}; ${START_ONE}`, EXIT.unreachable);
  const text = [
    `${code} (${status}): ${message}`,
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
    ...(requestId === undefined ? [] : [`  request id: ${requestId}`]),
  ].join('\n');
  return { text, error: typeof cause === 'object' && cause !== null ? cause : { code, message }, exitCode: EXIT.refused };
}

function described(code: string, message: string, exitCode: number): DescribedFault {
  return { text: message, error: { code, message }, exitCode };
}

function isClientFault(fault: Error): fault is ClientFault {
  return fault.name === 'KmsClientError';
}
