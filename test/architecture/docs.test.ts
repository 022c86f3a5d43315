import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedDocs } from '../../scripts/generated-docs.ts';
import { configPaths } from '../../src/config/keys.ts';
import { errorTable } from '../../src/core/errors.ts';
import { ROOT, textOf } from './source-files.ts';

describe('the documents', () => {
  test.each(Object.entries(generatedDocs))('%s is what the tables say', (path, page) => {
    expect(textOf(path)).toBe(page());
  });

  test('list every error and every setting', () => {
    for (const code of Object.keys(errorTable)) expect(textOf('docs/errors.md')).toContain(`\`${code}\``);
    for (const path of configPaths) expect(textOf('docs/config.md')).toContain(`\`${path}\``);
  });

  test('link only to files that are there', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
    expect(pages.length).toBeGreaterThan(12);
    const broken = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\]\((?!https?:|mailto:|#)([^)#]+)/g)].map(([, target = '']) => join(page, '..', target)).filter((target) => !exists(target)).map((target) => `${page}: ${target}`));
    expect(broken).toEqual([]);
  });

  test('every row of the threat model names a test that is there, and every such test has its row', () => {
    const page = textOf('docs/threat-model.md');
    const named = [...page.matchAll(/\]\(\.\.\/(test\/threat-model\/\w+\.test\.ts)\): (.*?) \|$/gm)].map(([, file, name]) => `${file} ${name}`);
    const files = readdirSync(join(ROOT, 'test/threat-model')).map((file) => `test/threat-model/${file}`);
    const there = files.flatMap((file) => [...textOf(file).matchAll(/^ {2}test\('((?:[^'\\]|\\.)+)'/gm)].map(([, name = '']) => `${file} ${name.replaceAll('\\', '')}`));
    expect(named.length).toBeGreaterThan(25);
    expect(named.toSorted()).toEqual(there.toSorted());
  });

  test('every decision is in the list of decisions', () => {
    const adrs = readdirSync(join(ROOT, 'docs/adr')).filter((name) => /^\d/.test(name));
    for (const name of adrs) expect(textOf('docs/adr/README.md')).toContain(`(${name})`);
  });
});

function exists(path: string): boolean {
  try {
    readdirSync(join(ROOT, path));
    return true;
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'ENOTDIR';
  }
}
