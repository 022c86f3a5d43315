import type { Command, Io } from '../cli/command.ts';
import type { RunningService } from './service.ts';
import sonicBoom from 'sonic-boom';
import { createLogLines } from '../adapters/telemetry/log-lines.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { settingAbout, settingOptions, settingsReader } from '../cli/settings.ts';
import { checkConfig } from '../config/check.ts';
import { passphraseTerminal } from './passphrase-terminal.ts';
import { startService } from './service.ts';

export interface ServeDeps {
  /** Resolves when the process is asked to stop. */
  readonly stopped: Promise<unknown>;
  /** Runs it each time the process is told to take its settings anew. */
  readonly onHangUp: (run: () => void) => void;
  readonly version: Readonly<Record<string, string>>;
}

const LOG_BLOCK_CHARACTERS = 8 * 1024;
/** When the reader is too slow, lines beyond this are dropped: the audit log is the record. */
const LOG_WAITING_MAX_BYTES = 16 * 1024 * 1024;
const STDERR = 2;
const FLUSH_MS = 200;

/** `ron-kms serve`: stays until it is told to stop. Logs go to standard error as JSON lines. */
export function makeServeCommand({ stopped, onHangUp, version }: ServeDeps): Command {
  return {
    name: 'serve',
    summary: 'Start the service and stay',
    example: 'serve --profile micronode',
    options: { ...settingOptions, json: { type: 'boolean' } },
    about: { ...settingAbout, json: 'print where it listens as one JSON line' },
    async run(parsed, io) {
      const read = settingsReader(parsed, io);
      const config = read();
      checkConfig(config);
      const log = openLog();
      const service = await startService({ config, reread: read, log: log.lines, version, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'], terminal: passphraseTerminal(io.err) });
      onHangUp(() => { void service.reload(); });
      announce(service, parsed.flags['json'] === true, io);
      await stopped;
      await service.stop();
      log.close();
      return EXIT.ok;
    },
  };
}

/** Lines are written in blocks, a few times a second: a line per operation is not a system call each. */
function openLog() {
  const destination = new sonicBoom.SonicBoom({ fd: STDERR, sync: false, maxLength: LOG_WAITING_MAX_BYTES });
  // A reader that has gone away stops the log, never the service; flushing to it would wait for ever.
  let isBroken = false;
  destination.on('error', () => { isBroken = true; });
  // Gathered here: sonic-boom would count the bytes of all that waits anew with each line.
  let block = '';
  const pass = (): void => {
    if (block !== '') destination.write(block);
    block = '';
  };
  const timer = setInterval(pass, FLUSH_MS).unref();
  return {
    lines: createLogLines({
      write(line) {
        block += line;
        if (block.length >= LOG_BLOCK_CHARACTERS) pass();
      },
    }),
    close() {
      clearInterval(timer);
      pass();
      if (!isBroken) destination.flushSync();
    },
  };
}

function announce({ apiUrl, metricsUrl, demoToken, degraded, log }: RunningService, asJson: boolean, io: Io): void {
  if (asJson) {
    io.out(`${JSON.stringify({ api_url: apiUrl, metrics_url: metricsUrl, ...(demoToken !== undefined && { token: demoToken }), degraded, log })}\n`);
    return;
  }
  io.out(`ron-kms listens on ${apiUrl}/v1/kms, with health and metrics on ${metricsUrl}\n`);
  for (const weakness of degraded) io.out(`weaker than it should be: ${weakness}\n`);
  if (demoToken === undefined) return;
  io.out([
    '', 'Keys and log live in RAM and are gone when it stops. A day\'s token for tenant demo:', '',
    `  export RON_KMS_URL=${apiUrl} RON_KMS_TOKEN=${demoToken}`, '',
    'Make a hybrid key:', '',
    `  curl -s ${apiUrl}/v1/kms/keys -H 'Authorization: Bearer ${demoToken}' -H 'Content-Type: application/json' -d '{"tenant":"demo","purpose":"hello"}'`, '',
    'Ctrl-C stops it. npm run demo tells the whole story on a real file.', '',
  ].join('\n'));
}
