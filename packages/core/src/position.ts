import type { LogPosition } from './log.js'

/** Writes a position as the id clients see: `<epoch>-<seq>`, safe in a header of a cross-origin request. */
export function formatPosition(position: LogPosition): string {
	return `${position.epoch}-${position.seq}`
}

/** Reads what {@link formatPosition} wrote; `undefined` if the id is none. */
export function parsePosition(id: string): LogPosition | undefined {
	const match = /^([A-Za-z0-9._]{1,64})-(0|[1-9][0-9]{0,15})$/.exec(id)
	const [, epoch, digits] = match ?? []
	if (epoch === undefined || digits === undefined) return undefined
	const seq = Number(digits)
	return Number.isSafeInteger(seq) ? { epoch, seq } : undefined
}
