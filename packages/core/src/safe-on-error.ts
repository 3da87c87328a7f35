import { inspect } from 'node:util'

/**
 * Wraps an `onError` for those who report to it. What it returns never throws: if `onError` throws, or returns a promise
 * that rejects, that error becomes a process warning. For authors of adapters and whatever else takes an `onError`.
 *
 * @param onError - The app's callback. Default: a process warning for each error.
 */
export function safeOnError(onError: (error: unknown) => unknown = warn): (error: unknown) => void {
	return (error) => {
		try {
			const result = onError(error)
			if (typeof result === 'object' && result !== null) Promise.resolve(result).catch(warn)
		} catch (thrown) {
			warn(thrown)
		}
	}
}

function warn(error: unknown): void {
	try {
		process.emitWarning(printable(error))
	} catch {
		// Somebody replaced `emitWarning` by a function that throws: there is nobody left to tell.
	}
}

/** Node prints a warning in a later tick, where one that cannot be printed would end the process. */
function printable(error: unknown): string | Error {
	try {
		if (typeof error === 'string') return error
		if (!(error instanceof Error)) return inspect(error)
		// What Node puts into the text of the warning.
		void `${error.name}${error.stack}${error}${Reflect.get(error, 'code')}`
		return error
	} catch {
		return 'A value was thrown that cannot be printed.'
	}
}
