import { AsyncLocalStorage } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type UntilOptions, until } from './until.js'

const storage = new AsyncLocalStorage<{ readonly name: string }>()

setFlagsFromString('--expose-gc')
const gc: unknown = runInNewContext('gc')

/** Runs the function with an AsyncLocalStorage store of its own, as an app does for each request. */
export function inRequest<T>(name: string, run: () => T): T {
	return storage.run({ name }, run)
}

/** The name of the request in whose context this is called; `undefined` outside of all. */
export function currentRequest(): string | undefined {
	return storage.getStore()?.name
}

/**
 * Runs the function in a request, waits for what it returns, then waits until the request's store is garbage.
 *
 * @throws Error if something keeps the store alive for `timeout` ms, by default 5000.
 */
export async function forgotten(
	run: () => unknown,
	options: Pick<UntilOptions, 'timeout'> = {},
): Promise<void> {
	const store = await finished(run)
	await until(
		() => {
			if (typeof gc === 'function') gc()
			return store.deref() === undefined
		},
		{ ...options, what: 'the store of the request to be collected' },
	)
}

async function finished(run: () => unknown): Promise<WeakRef<object>> {
	const store = { name: 'forgotten' }
	await storage.run(store, async () => {
		await run()
	})
	return new WeakRef(store)
}
