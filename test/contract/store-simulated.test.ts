import { EMPTY_STORE, openSimulatedStore } from '../sim/store.ts';
import { keyStoreContract } from './key-store.ts';

keyStoreContract('of the simulation', () => openSimulatedStore({ image: EMPTY_STORE, flush: async () => undefined }));
