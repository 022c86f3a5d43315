import { writeFileSync } from 'node:fs';
import { generatedDocs } from './generated-docs.ts';

for (const [path, page] of Object.entries(generatedDocs)) writeFileSync(new URL(`../${path}`, import.meta.url), page());
