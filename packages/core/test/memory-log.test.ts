import { describe, expect, it } from 'vitest'
import { channelLogContract } from '../src/contract/channel-log-contract.js'
import type { LogEntry, LogReceiver } from '../src/log.js'
import { MemoryLog } from '../src/memory-log.js'

channelLogContract(
	'memory',
	async () => ({ open: (receiver, options) => new MemoryLog(receiver, options), close: async () => {} }),
	{ shared: false },
	{ describe, it },
)

function open(clock?: () => number): { log: MemoryLog; delivered: LogEntry[] } {
	const delivered: LogEntry[] = []
	const receiver: LogReceiver = {
		deliver: (entry) => delivered.push(entry),
		reset: () => {},
		direct: () => {},
		error: () => {},
	}
	const options = { retention: () => ({ size: 10, ttl: 1_000 }), resumable: true, instance: 'test-' }
	return { log: new MemoryLog(receiver, options, clock), delivered }
}

describe('MemoryLog', () => {
	it('has delivered a message when append returns', () => {
		const { log, delivered } = open()
		log.append('a', 'data:1\n\n')
		expect(delivered.map(({ payload }) => payload)).toEqual(['data:1\n\n'])
	})

	it('forgets channels that came and went, and resets who may have missed something of them', () => {
		let time = 0
		const { log } = open(() => time)
		const before = log.append('kept', 'data:0\n\n')
		for (let n = 0; n < 10_000; n++) log.append(`c${n}`, 'data:1\n\n')
		time = 2_000
		for (let n = 0; n < 10_000; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['c5'], { after: before }).reset).toBe('trimmed')
		expect(log.read(['c5'], { after: log.position }).reset).toBeUndefined()
		const again = log.append('c5', 'data:3\n\n')
		expect(log.read(['c5'], { after: before }).reset).toBe('trimmed')
		expect(log.read(['c5'], { after: { epoch: again.epoch, seq: again.seq - 1 } }).entries).toHaveLength(1)
	})
})
