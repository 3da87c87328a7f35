import { EvStreamManager } from 'evstream'

// Next loads a module more than once in development: the manager is kept on globalThis.
const kept = globalThis as typeof globalThis & { manager?: EvStreamManager }

export const manager: EvStreamManager = kept.manager ?? new EvStreamManager()
kept.manager = manager
