import type { LogPosition } from './log.js'

/** Writes a position as the id clients see: `<epoch>-<seq>`, safe in a header of a cross-origin request. */
export function formatPosition(position: LogPosition): string {
	return `${position.epoch}-${position.seq}`
}

/** Reads what {@link formatPosition} wrote; `undefined` for any other id. */
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

/**
 * The later of two positions. Positions of two epochs cannot be compared: of two epochs the one of `current` is later,
 * and `b` if neither is of it.
 */
export function later(
	a: LogPosition | undefined,
	b: LogPosition | undefined,
	current: string | undefined,
): LogPosition | undefined {
	if (a === undefined || b === undefined) return a ?? b
	if (a.epoch === b.epoch) return a.seq >= b.seq ? a : b
	return a.epoch === current ? a : b
}

/** The first of some positions; `undefined` if there are none or they are of several epochs. */
export function earliest(positions: Iterable<LogPosition>): LogPosition | undefined {
	let first: LogPosition | undefined
	for (const position of positions) {
		if (first !== undefined && first.epoch !== position.epoch) return undefined
		if (first === undefined || position.seq < first.seq) first = position
	}
	return first
}
