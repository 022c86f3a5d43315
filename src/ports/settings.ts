/** What a reload would change. */
interface SettingsChange {
  /** Names the settings as a whole. */
  readonly version: string;
  /** As the log may say it: no secret is in it. */
  readonly changes: readonly { readonly key: string; readonly from: string; readonly to: string }[];
  /** From here on they are in force, all of them. */
  apply(): void;
}

/** The settings of the service, where they come from. */
export interface SettingsSource {
  /** Reads and checks all of them as they are by now; nothing changes yet. Or says, in words for the operator, why they cannot be taken. */
  look(): SettingsChange | { readonly refused: string };
}
