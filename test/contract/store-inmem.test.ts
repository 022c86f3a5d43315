import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { keyStoreContract } from './key-store.ts';

keyStoreContract('inmem', async () => createInmemStore());
