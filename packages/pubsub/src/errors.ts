import type { EvErrorCode } from '@evstream/core'

/** The codes of the errors that this package makes. */
export type RedisBusErrorCode = Extract<EvErrorCode, 'EV_CLOSED' | 'EV_UNAVAILABLE'>
