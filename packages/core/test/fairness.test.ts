import { setImmediate as turn } from 'node:timers/promises'
import { until } from '@evstream/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Frame } from '../src/frame.js'
import { EvStreamManager } from '../src/index.js'

/** Counts turns of the event loop until it is stopped. */
function countTurns(): { readonly turns: number; stop(): void } {
	let turns = 0
	let running = true
	const go = (): void => {
		turns++
		if (running) setImmediate(go)
	}
	setImmediate(go)
	return {
		get turns() {
			return turns
		},
		stop() {
			running = false
		},
	}
}

describe('others get turns of the event loop', () => {
	it('while one client comes back to many channels with a long history', async () => {
		const channels = Array.from({ length: 200 }, (_, n) => `channel ${n}`)
		const manager = new EvStreamManager({ history: { size: 250 } })
		onTestFinished(() => manager.close())
		const start = await manager.send('other', { data: '' })
		for (let n = 0; n < 50_000; n++) await manager.send(channels[n % 200] ?? '', { data: 'x' })
		const { stream, response } = manager.createResponse(
			new Request('http://a/', { headers: { 'last-event-id': start ?? '' } }),
		)
		for (const channel of channels) stream.listen(channel)
		const counted = countTurns()
		let text = ''
		for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
			text = text.slice(-200) + part
			if (text.includes('event:position')) break
		}
		counted.stop()
		// Reading of the log takes some 100 ms, of which a replay takes 4 ms at a time.
		expect(counted.turns).toBeGreaterThan(3)
	})

	it('while from reads a source that always has the next item at once', async () => {
		const manager = new EvStreamManager({ maxBuffer: 1e9 })
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		void response.body?.pipeTo(new WritableStream()).catch(() => {})
		let given = 0
		function* endless() {
			for (;;) yield `${given++}`
		}
		const writing = stream.from(endless())
		for (let n = 0; n < 3; n++) {
			const before = given
			await turn()
			await until(() => given > before)
		}
		stream.close()
		expect(await writing).toBe(false)
	})
})

describe('clients that come back to the same messages', () => {
	/** How many frames of at least so many bytes are made meanwhile. */
	async function framesOf(run: () => Promise<unknown>, length: number): Promise<number> {
		const made = new Set<Buffer>()
		const { get } = Object.getOwnPropertyDescriptor(Frame.prototype, 'plain') ?? {}
		if (get === undefined) throw new Error('a frame is made otherwise')
		Object.defineProperty(Frame.prototype, 'plain', {
			configurable: true,
			get() {
				const bytes: Buffer = get.call(this)
				if (bytes.length >= length) made.add(bytes)
				return bytes
			},
		})
		try {
			await run()
		} finally {
			Object.defineProperty(Frame.prototype, 'plain', { configurable: true, get })
		}
		return made.size
	}

	it.each([{}, { except: 'somebody' }, { filter: () => true }])(
		'share the frames of its pages, also if not everybody may see all of it: %o',
		async (options) => {
			const manager = new EvStreamManager({ history: { size: 100 } })
			onTestFinished(() => manager.close())
			const start = await manager.send('a', { data: '' })
			for (let n = 0; n < 100; n++)
				await manager.send('a', { data: 'x'.repeat(500) }, n === 50 ? options : {})
			const bodies: Response[] = []
			const frames = await framesOf(async () => {
				for (let n = 0; n < 50; n++) {
					const { stream, response } = manager.createResponse(
						new Request('http://a/', { headers: { 'last-event-id': start ?? '' } }),
					)
					stream.listen('a')
					bodies.push(response)
				}
				await turn()
				for (const { body } of bodies) {
					const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
					let text = ''
					while (!text.includes('event:position')) text += (await reader?.read())?.value ?? ''
					expect(text.split('\ndata:xxx')).toHaveLength(101)
				}
			}, 10_000)
			expect(frames).toBe(1)
		},
	)

	it('may be one who may not see a message, and gets the others', async () => {
		const manager = new EvStreamManager({ history: { size: 100 } })
		onTestFinished(() => manager.close())
		let hiddenFrom = ''
		const start = await manager.send('a', { data: 'start' })
		for (let n = 0; n < 10; n++)
			await manager.send('a', { data: `${n}` }, n === 5 ? { filter: ({ id }) => id !== hiddenFrom } : {})
		const comeBack = () => {
			const { stream, response } = manager.createResponse(
				new Request('http://a/', { headers: { 'last-event-id': start ?? '' } }),
			)
			stream.listen('a')
			return { stream, response }
		}
		const [sees, other, seesToo] = [comeBack(), comeBack(), comeBack()]
		hiddenFrom = other.stream.id
		await turn()
		const got: string[] = []
		for (const { stream, response } of [sees, other, seesToo]) {
			stream.close()
			got.push([...(await response.text()).matchAll(/^data:(\d)$/gm)].map(([, data]) => data).join(''))
		}
		expect(got).toEqual(['0123456789', '012346789', '0123456789'])
	})
})
