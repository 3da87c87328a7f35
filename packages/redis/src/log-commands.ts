import { randomUUID } from 'node:crypto'
import { EvClosedError, EvUnavailableError } from '@evstream/core'

/** How long the log remembers that a channel existed, in ms: positions that clients keep longer are reset. */
export const KEEP: number = 3 * 86_400_000

/** Used if an epoch has to begin. */
export function newEpoch(): string {
	return randomUUID().replaceAll('-', '').slice(0, 12)
}

export function rethrow(cause: unknown): never {
	if (cause instanceof Error && Reflect.get(cause, 'code') === 'EV_CLOSED')
		throw new EvClosedError('The Redis adapter')
	throw new EvUnavailableError(
		`Redis did not take a command: ${cause instanceof Error ? cause.message : String(cause)}`,
		{ cause },
	)
}
