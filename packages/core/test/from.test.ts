import { AwaitableQueue, forgotten, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type EvManagedStream, type EvMessage, EvStreamManager, Evstream } from '../src/index.js'
import { serve, visit } from './support/visit.js'

async function open() {
	const errors: unknown[] = []
	const streams = new AwaitableQueue<Evstream>()
	const server = await serve((req, res) =>
		streams.push(new Evstream(req, res, { onError: (error) => errors.push(error), maxBuffer: 10_000_000 })),
	)
	const client = await visit(server)
	return { client, errors, stream: await streams.next() }
}

/** An endless iterator that counts what is asked of it; `hang` makes `next` never answer. */
function source(hang = false) {
	const asked = { next: 0, return: 0 }
	const iterable = {
		[Symbol.asyncIterator]: () => ({
			next() {
				asked.next++
				return hang
					? new Promise<never>(() => {})
					: Promise.resolve({ done: false as const, value: 'x'.repeat(50_000) })
			},
			return() {
				asked.return++
				return Promise.resolve({ done: true as const, value: undefined })
			},
		}),
	}
	return { asked, iterable }
}

describe('from', () => {
	it('writes strings and messages of an iterable, and leaves the stream open', async () => {
		const { client, stream } = await open()
		expect(await stream.from(['a', { event: 'b', data: { c: 1 } }])).toBe(true)
		stream.close()
		await client.closed
		expect(client.raw).toBe('data:a\n\nevent:b\ndata:{"c":1}\n\nevent:end\ndata:\n\n')
	})

	it('writes what an async generator gives, as it gives it', async () => {
		const { client, stream } = await open()
		const tokens = new AwaitableQueue<string>()
		async function* generate(): AsyncGenerator<EvMessage | string> {
			for (let n = 0; n < 3; n++) yield await tokens.next()
		}
		const done = stream.from(generate())
		for (const token of ['a', 'b', 'c']) {
			tokens.push(token)
			expect(await client.next()).toMatchObject({ data: token })
		}
		expect(await done).toBe(true)
	})

	it('does not release an iterator that came to its end', async () => {
		const { stream } = await open()
		let released = false
		const iterator = {
			next: () => ({ done: true as const, value: undefined }),
			return: () => {
				released = true
				return { done: true as const, value: undefined }
			},
		}
		expect(await stream.from({ [Symbol.iterator]: () => iterator })).toBe(true)
		expect(released).toBe(false)
	})

	it('rejects with what the iterable throws, after what it gave before', async () => {
		const { client, stream } = await open()
		const broken = new Error('broken')
		async function* generate() {
			yield 'a'
			throw broken
		}
		await expect(stream.from(generate())).rejects.toBe(broken)
		expect(await client.next()).toMatchObject({ data: 'a' })
		expect(stream.closed).toBe(false)
	})

	it('rejects with what message throws, and releases the iterator', async () => {
		const { stream } = await open()
		let released = false
		function* generate() {
			try {
				yield { event: 'a\nb', data: '' }
			} finally {
				released = true
			}
		}
		await expect(stream.from(generate())).rejects.toMatchObject({ code: 'EV_INVALID_MESSAGE' })
		expect(released).toBe(true)
	})

	it('goes at the pace of the client, and releases the iterator when it leaves', async () => {
		const { client, stream } = await open()
		client.pause()
		const { asked, iterable } = source()
		const done = stream.from(iterable)
		let before = -1
		await until(() => {
			const still = asked.next === before && asked.next > 0
			before = asked.next
			return still
		})
		client.close()
		expect(await done).toBe(false)
		expect(asked.return).toBe(1)
		// 10 MB may wait, but nobody who pauses is sent more than the sockets take.
		expect(asked.next * 50_000).toBeLessThan(20_000_000)
	})

	it.each(['leaves', 'is closed'])('releases an iterator that hangs when the client %s', async (how) => {
		const { client, stream, errors } = await open()
		const { asked, iterable } = source(true)
		const done = stream.from(iterable)
		await until(() => asked.next === 1)
		if (how === 'leaves') client.close()
		else stream.close()
		expect(await done).toBe(false)
		expect(asked).toEqual({ next: 1, return: 1 })
		expect(errors).toEqual([])
	})

	it('reports a release that fails to onError', async () => {
		const { client, stream, errors } = await open()
		const failed = new Error('failed')
		const { asked, iterable } = source(true)
		const iterator = { ...iterable[Symbol.asyncIterator](), return: () => Promise.reject(failed) }
		const done = stream.from({ [Symbol.asyncIterator]: () => iterator })
		await until(() => asked.next === 1)
		client.close()
		expect(await done).toBe(false)
		await until(() => errors.length === 1)
		expect(errors).toEqual([failed])
	})

	it('writes nothing to a stream that is closed, and releases the iterator', async () => {
		const { stream } = await open()
		stream.close()
		const { asked, iterable } = source()
		expect(await stream.from(iterable)).toBe(false)
		expect(asked).toEqual({ next: 0, return: 1 })
	})

	it.each(['disconnect', 'drop'] as const)(
		'leaves out nothing, also if channel messages make the client fall behind in between (%s)',
		async (slow) => {
			const manager = new EvStreamManager({ slow, maxBuffer: 200_000 })
			const streams = new AwaitableQueue<EvManagedStream>()
			const server = await serve((req, res) => {
				const stream = manager.createStream(req, res)
				stream.listen('a')
				streams.push(stream)
			})
			const client = await visit(server)
			const stream = await streams.next()
			client.pause()
			const data = 'x'.repeat(40_000)
			function* items() {
				for (let n = 0; n < 200; n++) {
					if (n % 20 === 0) void manager.send('a', { event: 'other', data })
					yield { event: 'item', data: `${n} ${data}` }
				}
			}
			const writing = stream.from(items())
			await until(() => manager.stats().bufferedBytes > 0)
			client.resume()
			expect(await writing).toBe(true)
			stream.close()
			await client.closed
			const numbers = client.events
				.filter(({ event }) => event === 'item')
				.map(({ data: text }) => Number.parseInt(text, 10))
			expect(numbers).toEqual(Array.from({ length: 200 }, (_, n) => n))
			expect(client.events.at(-1)?.event).toBe('end')
		},
	)

	it('under drop waits while messages are left out, and then goes on', async () => {
		const manager = new EvStreamManager({ slow: 'drop', maxBuffer: 65_536 })
		const streams = new AwaitableQueue<EvManagedStream>()
		const server = await serve((req, res) => streams.push(manager.createStream(req, res)))
		const client = await visit(server)
		const stream = await streams.next()
		client.pause()
		let before = -1
		let sent = 0
		// Until messages are left out: what waits stays the same.
		for (let same = 0; same < 10; sent++) {
			stream.message({ event: 'direct', data: 'x'.repeat(10_000) })
			await new Promise((resolve) => setImmediate(resolve))
			const { bufferedBytes } = manager.stats()
			same = bufferedBytes > 0 && bufferedBytes === before ? same + 1 : 0
			before = bufferedBytes
		}
		const writing = stream.from(['one', 'two', 'three'])
		client.resume()
		expect(await writing).toBe(true)
		await client.next(({ data }) => data === 'three')
		const names = client.events.map(({ event, data }) => (event === 'message' ? data : event))
		expect(names.slice(names.indexOf('reset'))).toEqual(['reset', 'one', 'two', 'three'])
		expect(names.filter((name) => name === 'direct').length).toBeLessThan(sent)
	})

	it.each([0, 1, 1_000])(
		'writes all of it with a maxBuffer of %d, below what a socket takes',
		async (maxBuffer) => {
			const streams = new AwaitableQueue<Evstream>()
			const server = await serve((req, res) => streams.push(new Evstream(req, res, { maxBuffer })))
			const client = await visit(server)
			const stream = await streams.next()
			client.pause()
			function* items() {
				for (let n = 0; n < 2_000; n++) yield `${n} ${'x'.repeat(5_000)}`
			}
			const writing = stream.from(items())
			await new Promise((resolve) => setImmediate(resolve))
			client.resume()
			expect(await writing).toBe(true)
			await client.next(({ data }) => data.startsWith('1999 '))
			expect(client.events.map(({ data }) => Number.parseInt(data, 10))).toEqual(
				Array.from({ length: 2_000 }, (_, n) => n),
			)
			expect(stream.closed).toBe(false)
		},
	)
})

describe('a source that always has the next item at once', () => {
	it('is left for a turn of the event loop now and then, not after each item', async () => {
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		const text = response.text()
		let turns = 0
		let running = true
		const count = (): void => {
			turns++
			if (running) setImmediate(count)
		}
		setImmediate(count)
		const items = 20_000
		expect(await stream.from(new Array(items).fill('x'))).toBe(true)
		running = false
		stream.close()
		expect((await text).match(/data:x/g)).toHaveLength(items)
		expect(turns).toBeGreaterThan(1)
		expect(turns).toBeLessThan(items / 4)
	})
})

describe('a source that was written', () => {
	it('is not kept by the stream that goes on', async () => {
		const manager = new EvStreamManager()
		const { stream, response } = manager.createResponse(new Request('http://a/'))
		void response.text()
		const sources: WeakRef<object>[] = []
		const write = async (): Promise<void> => {
			const source = ['a', 'b']
			sources.push(new WeakRef(source))
			await stream.from(source)
		}
		await write()
		await write()
		await forgotten(() => {})
		await until(() => sources.every((source) => source.deref() === undefined))
		expect(stream.closed).toBe(false)
	})
})
