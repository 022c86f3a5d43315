import type { Settings } from '../config/keys.ts';
import type { Secret } from '../core/secret.ts';

/** Somebody who may be asked for a passphrase or a PIN. */
export interface PassphraseTerminal {
  /** Undefined where nobody sits; for the passphrase of the root key when no question is given. */
  ask(question?: string): Promise<Secret | undefined>;
  /** Said before a pause. */
  say(text: string): void;
  pause(ms: number): Promise<void>;
}

/** From where a device is named, and what opens it. */
export interface DeviceSources {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal?: PassphraseTerminal | undefined;
}
