/** Hardware, or a service elsewhere, that a root key can lie under: what it gives opens by it alone. */
export type DeviceSealName = 'tpm' | 'pkcs11' | 'cloud';
export const deviceSealNames: readonly DeviceSealName[] = ['tpm', 'pkcs11', 'cloud'];

/** What a device gave for a key, as JSON: it stands in root-key.json, and nothing of it is secret. */
export type DeviceSealed = Readonly<Record<string, unknown>>;

export interface KeyDevice {
  /** Takes a key of 32 bytes in. `place` says whose it is. */
  seal(key: Buffer, place: string): Promise<DeviceSealed>;
  /** Gives it back, to be zeroed by who asked. Throws with what the operator can do, `DeviceRefused` where asking again cannot help. */
  unseal(sealed: DeviceSealed, place: string): Promise<Buffer>;
  close(): Promise<void>;
}

/** The device is there, and says no. */
export class DeviceRefused extends Error {
  override readonly name = 'DeviceRefused';
}
