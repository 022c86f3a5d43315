import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedDocs } from '../../scripts/generated-docs.ts';
import { configPaths } from '../../src/config/keys.ts';
import { errorTable } from '../../src/core/errors.ts';
import { ROOT, textOf } from './source-files.ts';

const THREAT_MODEL = 'docs/threat-model.md';

describe('the documents', () => {
  test.each(Object.entries(generatedDocs))('%s is what the tables say', (path, page) => {
    expect(textOf(path)).toBe(page());
  });

  test('list every error and every setting', () => {
    for (const code of Object.keys(errorTable)) expect(textOf('docs/errors.md')).toContain(`\`${code}\``);
    for (const path of configPaths) expect(textOf('docs/config.md')).toContain(`\`${path}\``);
  });

  test('link only to files and headings that are there', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'client/README.md', ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
    expect(pages.length).toBeGreaterThan(12);
    const links = pages.flatMap((page) => [...textOf(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([, file = '', heading]) => ({ page, target: file === '' ? page : join(page, '..', file), heading })));
    expect(links.filter(({ heading }) => heading !== undefined).length).toBeGreaterThan(60);
    const broken = links.filter(({ target, heading }) => !exists(target) || (heading !== undefined && !headingsOf(target).has(heading)));
    expect(broken).toEqual([]);
  });

  test('every row of the threat model names a test that is there, and every test of test/threat-model has its row', () => {
    const named = proofsIn(textOf(THREAT_MODEL));
    expect(named.filter(({ file, name }) => !namesIn(file).has(name))).toEqual([]);
    const files = readdirSync(join(ROOT, 'test/threat-model')).map((file) => `test/threat-model/${file}`);
    const there = files.flatMap((file) => [...textOf(file).matchAll(/^ {2}test\('((?:[^'\\]|\\.)+)'/gm)].map(([, name = '']) => `${file} ${name.replaceAll('\\', '')}`));
    const ours = new Set(named.filter(({ file }) => files.includes(file)).map(({ file, name }) => `${file} ${name}`));
    expect(there.length).toBeGreaterThan(25);
    expect([...ours].toSorted()).toEqual(there.toSorted());
  });

  test('every claim of the seed has its code and a test by name', () => {
    const [, claims = ''] = /^## Claims of the seed\n([\s\S]*?)^## /m.exec(textOf(THREAT_MODEL)) ?? [];
    const rows = claims.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Claim '));
    expect(rows.length).toBeGreaterThan(100);
    const bad = rows.filter((row) => {
      const cells = row.slice(2, -2).split(' | ');
      const [, code = '', proof = ''] = cells;
      return cells.length !== 3 || !/^\[[^\]]+\]\([^)]+\)/.test(code) || proof.split('<br>').some((one) => proofsIn(`${one} |`).length !== 1);
    });
    expect(bad).toEqual([]);
    for (const section of ['§1', '§2', '§3', '§4', '§5', '§6', '§7', '§8', '§9', '§10', 'Appendix A']) expect(claims).toMatch(new RegExp(`^### ${section}\\b`, 'm'));
  });

  test('a name that no test has is seen', () => {
    expect([namesIn('test/architecture/docs.test.ts').has('a name that no test has is seen'), namesIn('test/architecture/docs.test.ts').has('a name that no test has')]).toEqual([true, false]);
  });

  test('SECURITY.md says whom to write to, by when it is made public, and how a call flows', () => {
    const page = textOf('SECURITY.md');
    for (const said of ['Stevan White', 'security@rustyonions.local', '90 days', 'Cryptography goes first']) expect(page).toContain(said);
    const [, diagram = ''] = /```mermaid\n([\s\S]*?)```/.exec(page) ?? [];
    // Mermaid takes brackets in a label between quotes alone.
    const labels = [...diagram.matchAll(/\|([^|]+)\|/g)].map(([, label = '']) => label);
    expect([labels.length, labels.filter((label) => !/^"[^"]+"$/.test(label))]).toEqual([7, []]);
  });

  test('every decision is in the list of decisions', () => {
    const adrs = readdirSync(join(ROOT, 'docs/adr')).filter((name) => /^\d/.test(name));
    for (const name of adrs) expect(textOf('docs/adr/README.md')).toContain(`(${name})`);
  });
});

/** `[label](../test/…): the name of a test`, up to the end of the cell or a break in it. */
function proofsIn(text: string): readonly { readonly file: string; readonly name: string }[] {
  return [...text.matchAll(/\]\(\.\.\/(test\/[^)]+\.ts)\): (.*?)(?=<br>| \|$)/gm)].map(([, file = '', name = '']) => ({ file, name }));
}

/** What a file calls its tests, and the rows of those that are done for each row of a table. */
function namesIn(file: string): ReadonlySet<string> {
  return new Set([...textOf(file).matchAll(/(?:\b(?:test|it)\(|\)\(|\[)\s*(['"`])((?:\\.|(?!\1)[^\n\\])+)\1/g)].map(([, , name = '']) => name.replaceAll(/\\(.)/g, '$1')));
}

/** As GitHub names the headings of a page. */
function headingsOf(page: string): ReadonlySet<string> {
  return new Set([...textOf(page).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-')));
}

function exists(path: string): boolean {
  try {
    readdirSync(join(ROOT, path));
    return true;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'ENOTDIR';
  }
}
