import { expect, onTestFinished, test } from 'vitest'
import { currentRequest, forgotten, inRequest } from '../src/index.js'

test('a request has a name of its own, also after an await', async () => {
	const names = ['a', 'b'].map((name) =>
		inRequest(name, async () => {
			await null
			return currentRequest()
		}),
	)
	expect(await Promise.all(names)).toEqual(['a', 'b'])
	expect(currentRequest()).toBeUndefined()
})

test('a request that leaves nothing behind is forgotten', async () => {
	await forgotten(() => new Promise((resolve) => setTimeout(resolve, 1)))
})

test('a request is not forgotten while a timer that it started waits', async () => {
	const timers: NodeJS.Timeout[] = []
	onTestFinished(() => timers.forEach(clearTimeout))
	const start = () => void timers.push(setTimeout(() => {}, 60_000))
	await expect(forgotten(start, { timeout: 300 })).rejects.toThrow('the store of the request')
})
