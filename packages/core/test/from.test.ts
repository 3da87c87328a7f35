import { AwaitableQueue, until } from '@evstream/testkit'
import { describe, expect, it } from 'vitest'
import { type EvMessage, Evstream } from '../src/index.js'
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
})
