import { openSse, type SseClient } from '@evstream/testkit'
import express, { type Express } from 'express'
import { afterEach } from 'vitest'

const open: (() => unknown)[] = []

afterEach(async () => {
	for (const close of open.splice(0).reverse()) await close()
})

/** Runs after the test, the last one first. */
export function cleanUp(close: () => unknown): void {
	open.push(close)
}

/** An Express app on a free port, with the routes that `define` gives it. */
export function expressUrl(define: (app: Express) => void): Promise<string> {
	const app = express()
	define(app)
	return new Promise((resolve, reject) => {
		const server = app.listen(0, '127.0.0.1', (error) => {
			const address = server.address()
			if (error || typeof address !== 'object' || address === null) reject(error)
			else resolve(`http://127.0.0.1:${address.port}`)
		})
		cleanUp(() => {
			server.closeAllConnections()
			return new Promise((closed) => server.close(closed))
		})
	})
}

/** Follows a stream; it is left after the test. */
export async function follow(url: string, headers: Record<string, string> = {}): Promise<SseClient> {
	const client = await openSse(url, { headers })
	cleanUp(() => client.close())
	return client
}
