import type { PassphraseTerminal } from './device-sources.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { passphraseOf } from '../adapters/root-key/passphrase.ts';
import { askHidden } from '../adapters/system/hidden-prompt.ts';

/** Whoever sits where this process was started. */
export function passphraseTerminal(say: (text: string) => void): PassphraseTerminal {
  return {
    async ask(question = 'Passphrase of the root key: ') {
      const [typed] = await askHidden([question]) ?? [];
      return typed && passphraseOf(typed);
    },
    say,
    pause: async (ms) => {
      await pause(ms);
    },
  };
}
