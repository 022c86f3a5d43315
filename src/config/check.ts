import type { Config } from './load.ts';
import type { Settings } from './keys.ts';
import { isIP } from 'node:net';
import { ConfigError } from './load.ts';

/** Settings that fit each on its own and not together: refused at start, with what to change. */
export function checkConfig({ settings, profile }: Config): void {
  for (const { isWrong, say } of rules) if (isWrong(settings)) throw new ConfigError(profile === undefined ? say(settings) : `profile ${profile}: ${say(settings)}`);
}

interface Rule {
  readonly isWrong: (settings: Settings) => boolean;
  readonly say: (settings: Settings) => string;
}

const rules: readonly Rule[] = [
  {
    isWrong: (settings) => settings['service.backend'] !== 'inmem',
    say: (settings) => `service.backend = "${settings['service.backend']}" is not built yet: this version keeps keys in RAM only; start with --profile micronode`,
  },
  {
    isWrong: (settings) => !settings['service.amnesia'],
    say: () => 'service.backend = "inmem" needs service.amnesia = true: nothing is kept after the process ends, and that has to be said',
  },
  {
    isWrong: (settings) => !isLoopback(settings['bind_addr'].host),
    say: () => 'bind_addr is off loopback, which needs TLS, and TLS is not built yet: bind to 127.0.0.1 or [::1]',
  },
  {
    isWrong: (settings) => settings['auth.mode'] === 'introspect' && settings['auth.introspect_url'] === undefined,
    say: () => 'auth.mode = "introspect" needs auth.introspect_url',
  },
  {
    isWrong: (settings) => settings['auth.introspect_url'] !== undefined && !isSafeUrl(settings['auth.introspect_url']),
    say: () => 'auth.introspect_url must be https, or http on loopback: tokens travel to it',
  },
  {
    isWrong: (settings) => settings['auth.keyset_path'] !== undefined && settings['auth.keyset_fd'] !== undefined,
    say: () => 'set one of auth.keyset_path and auth.keyset_fd',
  },
  {
    isWrong: (settings) => settings['limits.max_body_bytes'] < 1024,
    say: () => 'limits.max_body_bytes is at least 1KiB',
  },
];

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isSafeUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, ''))));
}
