import { setTimeout as sleep } from 'node:timers/promises'

/** How long to wait, and for what. */
export interface UntilOptions {
	/** Milliseconds until the wait is given up. Default 5000. */
	timeout?: number
	/** What is waited for, for the error message. */
	what?: string
}

/** What a condition gives once it holds. */
export type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>

function holds<T>(value: T): value is T & Truthy<T> {
	return Boolean(value)
}

/**
 * Polls the condition about every 5 ms until it is truthy and resolves with what it gave.
 *
 * @throws Error naming `what` when the timeout is over; its `cause` is what the condition threw last, if it did.
 */
export async function until<T>(
	condition: () => T | Promise<T>,
	{ timeout = 5000, what = 'the condition' }: UntilOptions = {},
): Promise<Truthy<T>> {
	const end = performance.now() + timeout
	let cause: unknown
	do {
		try {
			const value = await condition()
			if (holds(value)) return value
			cause = undefined
		} catch (error) {
			cause = error
		}
		await sleep(5)
	} while (performance.now() < end)
	throw new Error(`Waited ${timeout} ms in vain for ${what}`, { cause })
}
