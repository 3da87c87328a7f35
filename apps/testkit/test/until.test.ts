import { expect, test } from 'vitest'
import { AwaitableQueue, until } from '../src/index.js'

test('until gives what the condition gave once it is truthy', async () => {
	let calls = 0
	await expect(until(() => (++calls === 3 ? 'there' : undefined))).resolves.toBe('there')
})

test('until names what it waited for, and keeps the last error as the cause', async () => {
	const failing = until(
		() => {
			throw new Error('not yet')
		},
		{ timeout: 20, what: 'the moon' },
	)
	await expect(failing).rejects.toMatchObject({
		message: expect.stringContaining('the moon'),
		cause: expect.objectContaining({ message: 'not yet' }),
	})
})

test('a queue hands values over in order, to those who came before and after them', async () => {
	const queue = new AwaitableQueue<number>()
	const early = queue.next()
	for (const value of [1, 2, 3, 4]) queue.push(value)
	expect([await early, await queue.next()]).toEqual([1, 2])
	expect(queue.size).toBe(2)
	expect(queue.drain()).toEqual([3, 4])
	await expect(queue.next(10)).rejects.toThrow('10 ms')
	queue.push(5)
	expect(queue.size).toBe(1)
})
