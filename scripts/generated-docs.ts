/** The pages that are written from tables, so that they cannot drift from the code. */
import { configKeys, configPaths, flagOf, profileNames, profiles, tenantKeys, variableOf } from '../src/config/keys.ts';
import type { Kind } from '../src/config/kinds.ts';
import { renamedKeys } from '../src/config/renamed.ts';
import { configSchema } from '../src/config/schema.ts';
import { errorTable, rejectReasons } from '../src/core/errors.ts';

const NOTICE = '<!-- Written by npm run docs from the table in the code; change it there. -->';

export const generatedDocs: Readonly<Record<string, () => string>> = {
  'docs/errors.md': errorsPage,
  'docs/config.md': configPage,
  'docs/config.schema.json': () => `${JSON.stringify(configSchema(), undefined, 2)}\n`,
};

function errorsPage(): string {
  const rows = Object.entries(errorTable).map(([code, { statuses, retryable, message }]) =>
    `| \`${code}\` | ${statuses.join(', ')} | ${retryable ? 'yes' : 'no'} | ${reasonOf(code)} | ${message} |`);
  return `${NOTICE}
# Errors

Every answer that is not 2xx is \`{"error":{"code","message","retryable","hint?","ts","request_id"}}\`. The message
belongs to the code and never carries input; \`hint\` says what to do next. \`request_id\` is in the log, and in
\`X-Request-ID\`. A 429 or 503 carries \`Retry-After\`. Counted in \`kms_reject_total\` under the reason given here.

| Code | HTTP | Retry | Reason | Message |
|---|---|---|---|---|
${rows.join('\n')}

\`NoCapability\` is 401 when the token itself is not good (absent, undecodable, unknown root, bad chain, revoked,
expired, not yet valid, third-party caveat), and 403 when a good token does not admit the call.
`;
}

function reasonOf(code: string): string {
  const reason = (rejectReasons as Readonly<Record<string, string>>)[code];
  return reason === undefined ? '' : `\`${reason}\``;
}

function configPage(): string {
  const rows = configPaths.map((path) => {
    const { kind, fallback, about, isLive = false } = configKeys[path] as { kind: Kind<unknown>; fallback: unknown; about: string; isLive?: true };
    return `| \`${path}\` | ${fallback === undefined ? '' : `\`${shown(kind, fallback)}\``} | ${kind.form} | ${about}${isLive ? ' (live)' : ''} |`;
  });
  const tenantRows = Object.entries(tenantKeys).map(([name, kind]) => `| \`tenants.<name>.${name}\` | ${kind.form} |`);
  const presets = profileNames.map((name) => {
    const values = Object.entries(profiles[name]).map(([path, value]) => `\`${path} = ${JSON.stringify(value)}\``);
    return `- \`${name}\`: ${values.join(', ')}`;
  });
  return `${NOTICE}
# Settings

Flags over environment over TOML file (\`--config\`, else \`./kms.toml\`) over profile (\`--profile\`, or \`profile\` in the
file) over defaults. The variable of a setting is \`RON_KMS_\` and its path in capitals
(\`auth.keyset_path\`: \`${variableOf('auth.keyset_path')}\`), its flag the path with dashes (\`--${flagOf('auth.keyset_path')}\`);
lists take commas there. What is not in this table is refused: a setting of a later version is never silently
ignored. \`ron-kms config print\` shows each value and where it came from.

What is marked (live), and the rules of tenants, change while the service runs: edit the file, then send SIGHUP or
\`ron-kms config reload\`. All of it is taken or none: a file that is wrong, or that changes anything else, leaves
everything as it is, and \`/readyz\` says why until a reload is taken. What changed is an entry of the log.

| Setting | Default | Form | What it does |
|---|---|---|---|
${rows.join('\n')}

One table per tenant, in the file:

| Setting | Form |
|---|---|
${tenantRows.join('\n')}

\`classical_ok\` lets keys without a post-quantum part work under \`verify_mode = "and"\`; under \`pq_only\` nothing can.
A mode above \`or\` makes hybrid production follow, so that nothing is signed that would not verify.

Profiles preset:

${presets.join('\n')}

Settings that were renamed go on under the name before for at least one minor version, with a warning on standard error, in the log
(\`setting_renamed\`) and in \`config check\`; both at once are refused. \`ron-kms config migrate --write\` puts a file in order, comments and
all; \`ron-kms config schema\` ([config.schema.json](config.schema.json)) is for your editor.

| Name before | Name now | Taken until |
|---|---|---|
${Object.entries(renamedKeys).map(([from, { to, endsWith }]) => `| \`${from}\` | \`${to}\` | ${endsWith} |`).join('\n')}
`;
}

function shown(kind: Kind<unknown>, value: unknown): string {
  const text = kind.show(value);
  return Array.isArray(text) ? text.join(',') : String(text);
}
