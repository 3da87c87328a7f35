import type { Writable } from 'node:stream'

/** Lets what is written to a socket through piece by piece, as a slow client does. */
export interface Valve {
	/** Lets the oldest piece through; `false` if nothing waits. */
	step(): boolean
	/** Lets everything through from here on. */
	open(): void
}

/** Closes a valve in a socket: what is written waits in this process. */
export function valve(to: Writable): Valve {
	const { _write, _writev } = to
	const waiting: (() => void)[] = []
	let isOpen = false
	const pass = (go: () => void): void => {
		if (isOpen) go()
		else waiting.push(go)
	}
	to._write = (...written) => pass(() => _write.apply(to, written))
	if (_writev !== undefined) to._writev = (...written) => pass(() => _writev.apply(to, written))
	const step = (): boolean => {
		const go = waiting.shift()
		go?.()
		return go !== undefined
	}
	return {
		step,
		open() {
			isOpen = true
			while (step()) {}
		},
	}
}
