import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PacedQueue } from '../src/paced-queue.js'

const PIECE = 16_384

/** A sink that asks to pause after each piece unless it is told otherwise. */
function sink(takes: () => boolean = () => false) {
	const pieces: Buffer[] = []
	const queue = new PacedQueue((bytes) => {
		pieces.push(bytes)
		return takes()
	})
	return { pieces, queue, text: () => Buffer.concat(pieces).toString('latin1') }
}

describe('a paced queue', () => {
	it('hands over one large buffer in pieces of 16 KiB, each when the sink has drained', () => {
		const { pieces, queue } = sink()
		queue.write(Buffer.alloc(2 * PIECE + 5))
		expect(pieces.map(({ length }) => length)).toEqual([PIECE])
		expect(queue).toMatchObject({ waiting: PIECE + 5, inFlight: PIECE, written: PIECE, paused: true })
		queue.drained()
		expect(queue).toMatchObject({ waiting: 5, inFlight: PIECE, written: 2 * PIECE, paused: true })
		queue.drained()
		expect(queue).toMatchObject({ waiting: 0, inFlight: 5, written: 2 * PIECE + 5, paused: true })
		queue.drained()
		expect(queue).toMatchObject({ waiting: 0, inFlight: 0, written: 2 * PIECE + 5, paused: false })
		expect(pieces.map(({ length }) => length)).toEqual([PIECE, PIECE, 5])
	})

	it('hands over all at once to a sink that takes it, and small buffers as they are', () => {
		const { pieces, queue } = sink(() => true)
		const small = Buffer.alloc(PIECE)
		queue.write(small)
		queue.write(Buffer.alloc(PIECE + 1))
		expect(pieces[0]).toBe(small)
		expect(pieces.map(({ length }) => length)).toEqual([PIECE, PIECE, 1])
		expect(queue).toMatchObject({ waiting: 0, inFlight: 0, written: 2 * PIECE + 1, paused: false })
	})

	it('drops what waits, and takes more after it', () => {
		const { queue, text } = sink()
		queue.write(Buffer.from('a'))
		queue.write(Buffer.from('b'))
		queue.clear()
		expect(queue).toMatchObject({ waiting: 0, inFlight: 1 })
		queue.write(Buffer.from('c'))
		queue.drained()
		expect(text()).toBe('ac')
	})

	it('keeps the order and counts each byte, whatever is written and drained', () => {
		const step = fc.oneof(
			{ weight: 3, arbitrary: fc.record({ write: fc.oneof(fc.nat(20), fc.nat(60_000)) }) },
			{ weight: 2, arbitrary: fc.constant('drain' as const) },
			{ weight: 1, arbitrary: fc.record({ writes: fc.integer({ min: 60, max: 300 }) }) },
		)
		fc.assert(
			fc.property(
				fc.array(step, { maxLength: 30 }),
				fc.array(fc.boolean(), { maxLength: 40 }),
				(steps, answers) => {
					let asked = 0
					const { queue, text, pieces } = sink(() => answers[asked++ % (answers.length + 1)] ?? false)
					let sent = ''
					const write = (length: number) => {
						const part = String.fromCharCode(33 + (sent.length % 90)).repeat(length)
						sent += part
						queue.write(Buffer.from(part, 'latin1'))
					}
					for (const what of steps) {
						if (what === 'drain') {
							if (queue.paused) queue.drained()
						} else if ('write' in what) write(what.write)
						else for (let n = 0; n < what.writes; n++) write(1)
						expect(queue.written + queue.waiting).toBe(sent.length)
						expect(queue.inFlight).toBeLessThanOrEqual(PIECE)
						if (!queue.paused) expect(queue).toMatchObject({ waiting: 0, inFlight: 0 })
					}
					while (queue.paused) queue.drained()
					expect(text()).toBe(sent)
					expect(Math.max(0, ...pieces.map(({ length }) => length))).toBeLessThanOrEqual(PIECE)
				},
			),
			{ numRuns: 100 },
		)
	})
})
