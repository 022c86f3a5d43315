import type { Key, Version } from '../../client/src/wire.ts';
import { printable } from './printable.ts';

/** A key for people: its kid first, to be copied. */
export function describeKey(key: Key): string {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['alg', key.parameter_set === undefined ? key.alg : `${key.alg} (${key.parameter_set})`],
    ['input', key.input],
    ['state', key.state],
    ['created', key.created_at],
    ['rotates', key.rotate_after && `every ${key.rotate_after}`],
    ['labels', labelsText(key.labels)],
    ...key.versions.toReversed().map((version, i) => [i === 0 ? 'versions' : '', versionText(version)] as const),
  ];
  return [key.kid, ...rows.filter(([, value]) => value !== undefined && value !== '').map(([name, value]) => `  ${name.padEnd(10)} ${value}`)].join('\n');
}

/** A key on one line of a list. */
export function keyLine({ kid, state, created_at: createdAt, labels }: Key): string {
  return [kid, state, createdAt, labelsText(labels)].filter((text) => text !== '').join('  ');
}

function versionText({ version, state, created_at: createdAt, destroy_at: destroyAt, attestation_class: attestationClass }: Version): string {
  return `v${version} ${state}${destroyAt === undefined ? '' : `, destroyed at ${destroyAt}`}, made ${createdAt}, held by ${attestationClass}`;
}

function labelsText(labels: Key['labels']): string {
  return Object.entries(labels).map(([name, value]) => `${name}=${printable(value)}`).join(' ');
}
