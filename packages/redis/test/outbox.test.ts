import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Outbox, type Publisher } from '../src/outbox.js'

describe('Outbox', () => {
	it('catches up with a queue that waited almost until its deadline', async () => {
		const deadline = 400
		const answer = 100
		let ready = false
		let seq = 0
		const publisher: Publisher = {
			ready: () => ready,
			// A Redis that answers each batch after a while, and a caller that gives up before.
			publish: async (batch, deadlineMs) => {
				const first = seq + 1
				seq += batch.length
				await sleep(Math.min(answer, deadlineMs))
				if (deadlineMs < answer) throw new Error(`no answer within ${deadlineMs} ms`)
				return { epoch: 'e', seq: first }
			},
		}
		const outbox = new Outbox(publisher, deadline)
		const results = Array.from({ length: 500 }, (_, index) =>
			outbox.send({ channel: 'a', payload: String(index), except: '' }),
		)
		await sleep(deadline - answer / 2)
		ready = true
		outbox.wake()
		const settled = await Promise.allSettled(results)
		expect(settled.filter(({ status }) => status === 'rejected')).toEqual([])
	})
})
