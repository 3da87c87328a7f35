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

function open(
	clock?: () => number,
	retention = (_channel: string) => ({ size: 10, ttl: 1_000 }),
): { log: MemoryLog; delivered: LogEntry[] } {
	const delivered: LogEntry[] = []
	const receiver: LogReceiver = {
		deliver: (entry) => delivered.push(entry),
		reset: () => {},
		direct: () => {},
		error: () => {},
	}
	const options = { retention, resumable: true, instance: 'test-' }
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
	it('forgets channels also behind one that is kept for long', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: 10, ttl: channel === 'long' ? 1e9 : 1_000 }),
		)
		log.append('long', 'data:0\n\n')
		for (let n = 0; n < 1_000; n++) log.append(`c${n}`, 'data:1\n\n')
		time = 2_000
		for (let n = 0; n < 1_500; n++) log.append('busy', 'data:2\n\n')
		expect(log.channels).toBe(2)
		expect(log.read(['long'], { last: 1 }).entries).toHaveLength(1)
	})

	it('remembers for the same time that a channel which keeps nothing was there', () => {
		let time = 0
		const { log } = open(
			() => time,
			(channel) => ({ size: channel === 'fleeting' ? 0 : 10, ttl: 1_000 }),
		)
		const start = log.append('kept', 'data:0\n\n')
		for (let n = 0; n < 10; n++) {
			log.append('fleeting', 'data:1\n\n')
			log.append('kept', 'data:2\n\n')
		}
		expect(log.read(['new'], { after: start }).reset).toBeUndefined()
		expect(log.read(['fleeting'], { after: start }).reset).toBe('trimmed')
		time = 2_000
		for (let n = 0; n < 10; n++) log.append('kept', 'data:2\n\n')
		expect(log.channels).toBe(1)
		expect(log.read(['fleeting'], { after: start }).reset).toBe('trimmed')
	})
})
