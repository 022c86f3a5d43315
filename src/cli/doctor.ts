import type { Config } from '../config/load.ts';
import type { Command, Io, Parsed } from './command.ts';
import type { Finding, Host } from './doctor-finding.ts';
import { checkConfig } from '../config/check.ts';
import { print } from './answer.ts';
import { checkHost } from './doctor-host.ts';
import { checkKeyset, checkRevocations } from './doctor-keyset.ts';
import { checkService } from './doctor-service.ts';
import { EXIT } from './exit-codes.ts';
import { isOn } from './flags.ts';
import { settingAbout, settingOptions, settingsFrom } from './settings.ts';

/** What lies on disk: the keys and the log, where they are kept there. */
export type ExamineFiles = (config: Config, io: Io) => Promise<readonly Finding[]>;

/** `ron-kms doctor`: everything that is wrong at once, not the first of it. */
export function makeDoctor(probe: () => Host, examineFiles: ExamineFiles): Command {
  return {
    name: 'doctor',
    summary: 'Look for what is wrong with this machine, the configuration and the service',
    example: 'doctor --profile micronode',
    options: { ...settingOptions, offline: { type: 'boolean' }, json: { type: 'boolean' } },
    about: { ...settingAbout, offline: 'leave the running service out', json: 'print the findings as JSON' },
    async run(parsed, io) {
      const findings = await examine(parsed, io, probe(), examineFiles);
      const isWell = findings.every(({ level }) => level !== 'wrong');
      print(parsed, io, { ok: isWell, findings }, () => findings.map(lineOf).join('\n'));
      return isWell ? EXIT.ok : EXIT.refused;
    },
  };
}

async function examine(parsed: Parsed, io: Io, host: Host, examineFiles: ExamineFiles): Promise<readonly Finding[]> {
  const { config, findings } = readConfig(parsed, io);
  return [
    ...checkHost(host),
    ...findings,
    ...(config === undefined ? [] : [
      await checkKeyset(config, io),
      ...await checkRevocations(config, io),
      ...await examineFiles(config, io),
      ...(isOn(parsed, 'offline') ? [] : await checkService(config)),
    ]),
  ];
}

/** A configuration whose parts do not fit together still says where to look for the rest. */
function readConfig(parsed: Parsed, io: Io): { readonly config: Config | undefined; readonly findings: readonly Finding[] } {
  let config: Config | undefined;
  try {
    config = settingsFrom(parsed, io);
    checkConfig(config);
    const files = new Set(Object.values(config.sources).filter((source) => source.startsWith('file ')));
    return { config, findings: [{ name: 'configuration', level: 'ok', says: [`profile ${config.profile ?? 'none'}`, ...files].join(', ') }] };
  } catch (fault) {
    const says = fault instanceof Error ? fault.message : 'it cannot be read';
    return { config, findings: [{ name: 'configuration', level: 'wrong', says, advice: 'put it right; ron-kms config print shows where each value comes from' }] };
  }
}

const NAME_CHARS = 15;

function lineOf({ name, level, says, advice }: Finding): string {
  return `${level.padEnd(5)}  ${name.padEnd(NAME_CHARS)}  ${says}${advice === undefined ? '' : `; ${advice}`}`;
}
