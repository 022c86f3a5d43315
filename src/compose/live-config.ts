import type { Config } from '../config/load.ts';
import type { SettingsSource } from '../ports/settings.ts';
import { checkConfig } from '../config/check.ts';
import { differencesOf, versionOf } from '../config/difference.ts';
import { ConfigError } from '../config/load.ts';

/** The configuration in force. It is replaced whole: who asks twice may get two, who asks once gets one that fits together. */
export interface LiveConfig extends SettingsSource {
  current(): Config;
  version(): string;
  /** What is worked out of the configuration, once for each one. */
  derived<T>(make: (config: Config) => T): () => T;
}

/** `reread` loads it from its file, the environment and the flags, and throws `ConfigError`. */
export function createLiveConfig(first: Config, reread: () => Config): LiveConfig {
  let current = first;
  let version = versionOf(first);

  const load = (): Config | { readonly refused: string } => {
    try {
      const next = reread();
      checkConfig(next);
      return next;
    } catch (fault) {
      if (fault instanceof ConfigError) return { refused: fault.message };
      throw fault;
    }
  };

  return {
    current: () => current,
    version: () => version,
    derived(make) {
      let [of, value] = [current, make(current)];
      return () => {
        if (of !== current) [of, value] = [current, make(current)];
        return value;
      };
    },
    look() {
      const next = load();
      if ('refused' in next) return next;
      const changes = differencesOf(current, next);
      const fixed = changes.filter(({ isLive }) => !isLive).map(({ key }) => key);
      if (fixed.length > 0) return { refused: `${fixed.join(', ')} cannot change while the service runs: put ${fixed.length === 1 ? 'it' : 'them'} back, or start it anew` };
      return {
        version: versionOf(next),
        changes: changes.map(({ key, from, to }) => ({ key, from, to })),
        apply() {
          current = next;
          version = versionOf(next);
        },
      };
    },
  };
}
