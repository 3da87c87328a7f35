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

/** Everything up to `other` has been delivered. `false` where that is not known. */
export function covers(delivered: LogPosition | undefined, other: LogPosition | undefined): boolean {
	if (delivered === undefined || other === undefined) return false
	return delivered.epoch === other.epoch && delivered.seq >= other.seq
}

/** The later one of two positions. Of two epochs, the second one's. */
export function later(a: LogPosition | undefined, b: LogPosition | undefined): LogPosition | undefined {
	if (a === undefined || b === undefined) return a ?? b
	return a.epoch === b.epoch && a.seq >= b.seq ? a : b
}

/** The earlier one of two positions. Of two epochs, the second one's. */
export function earlier(a: LogPosition | undefined, b: LogPosition | undefined): LogPosition | undefined {
	if (a === undefined || b === undefined) return a ?? b
	return a.epoch === b.epoch && a.seq <= b.seq ? a : b
}
