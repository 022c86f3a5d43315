/** What a worker of the tests has counted is written before it is ended: nobody asks it to leave by itself. */
import { takeCoverage } from 'node:v8';
import { afterAll } from 'vitest';

afterAll(() => { takeCoverage(); });
