/** What is wrong with the section of a release, whichever of its names it has; it says something, and what breaks comes with a way over. */
export function changelogFaults(text: string, names: readonly string[]): readonly string[] {
  const sections = text.split(/^## /mu).slice(1).map((section) => ({ title: section.split('\n', 1)[0] ?? '', body: section.slice(section.indexOf('\n')) }));
  const [first] = sections;
  if (first === undefined || !names.some((name) => first.title === name || first.title.startsWith(`${name} `))) return [`the first section of CHANGELOG.md is "${first?.title ?? ''}", not ${names.map((name) => `"## ${name}"`).join(' or ')}`];
  const faults = /^- \S/mu.test(first.body) ? [] : [`the section "${first.title}" of CHANGELOG.md lists nothing`];
  const isBreaking = /^#+ Breaking/mu.test(first.body);
  return isBreaking && !/^#+ Migration/mu.test(first.body) ? [...faults, `the section "${first.title}" says that something breaks, and has no "Migration"`] : faults;
}
