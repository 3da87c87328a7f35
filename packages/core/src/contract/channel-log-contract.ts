import assert from 'node:assert/strict'
import type {
	Awaitable,
	ChannelLog,
	LogEntry,
	LogOptions,
	LogPage,
	LogPosition,
	LogReceiver,
	LogRetention,
	LogStart,
	ResetReason,
} from '../log.js'
import type { ContractRunner } from './runner.js'

/** Logs of several instances over the same, empty data. */
export interface ChannelLogFixture {
	/** Opens the log of another instance. A log of one process gives the only one there is, once. */
	open(receiver: LogReceiver, options: LogOptions): ChannelLog
	/** Makes a log that calls `caughtUp` now and then do so soon. A log that need not call it leaves this out. */
	verify?(log: ChannelLog): Promise<void>
	/** Ends all of them. */
	close(): Promise<void>
}

/** How the suite calls a log that several instances share. */
export interface ChannelLogTraits {
	/** Several instances can be opened on the same data. */
	readonly shared: boolean
}

/** Collects what a log delivers. */
class Collector implements LogReceiver {
	readonly entries: LogEntry[] = []
	readonly resets: { channel: string; position: LogPosition; reason: ResetReason }[] = []
	readonly directs: [string, string][] = []
	readonly errors: unknown[] = []
	readonly caughtUpTo: LogPosition[] = []
	/** What was delivered or said when more had been promised. */
	readonly broken: LogPosition[] = []

	deliver(entry: LogEntry): void {
		this.#expectAfter(entry, entry.seq)
		this.entries.push(entry)
	}

	caughtUp(position: LogPosition): void {
		// To say the same again is no step back.
		this.#expectAfter(position, position.seq + 1)
		this.caughtUpTo.push(position)
	}

	reset(channel: string, position: LogPosition, reason: ResetReason): void {
		this.resets.push({ channel, position, reason })
	}

	direct(streamId: string, payload: string): void {
		this.directs.push([streamId, payload])
	}

	error(error: unknown): void {
		this.errors.push(error)
	}

	#expectAfter(position: LogPosition, seq: number): void {
		const last = this.caughtUpTo.at(-1)
		if (last?.epoch === position.epoch && seq <= last.seq) this.broken.push(position)
	}

	/** Waits for so many entries. */
	async count(entries: number): Promise<readonly LogEntry[]> {
		await until(() => this.entries.length >= entries, `${entries} entries, had ${this.entries.length}`)
		assert.deepEqual(this.errors, [])
		return this.entries
	}
}

interface Instance {
	readonly log: ChannelLog
	readonly got: Collector
}

interface Context {
	readonly verify: ((log: ChannelLog) => Promise<void>) | undefined
	open(retention?: Partial<LogRetention>, instance?: string): Instance
}

type Check = (title: string, body: (context: Context) => Promise<void>) => void

/**
 * What every {@link ChannelLog} must do. Call it at the top level of a test file.
 *
 * @param name - Names the log in the test report.
 * @param factory - Makes a place for logs, with nothing in it; called once for each test.
 * @param traits - What the log can do.
 * @param runner - `{ describe, it }` of the test runner.
 */
export function channelLogContract(
	name: string,
	factory: () => Promise<ChannelLogFixture>,
	traits: ChannelLogTraits,
	runner: ContractRunner,
): void {
	const check: Check = (title, body) => {
		runner.it(title, async () => {
			const fixture = await factory()
			const opened: ChannelLog[] = []
			const collectors: Collector[] = []
			const open = (retention: Partial<LogRetention> = {}, instance = 'test-'): Instance => {
				const got = new Collector()
				const kept = { size: 100, ttl: 60_000, ...retention }
				const log = fixture.open(got, { retention: () => kept, resumable: true, instance })
				opened.push(log)
				collectors.push(got)
				return { log, got }
			}
			try {
				await body({ open, verify: fixture.verify?.bind(fixture) })
				for (const got of collectors) assert.deepEqual(got.broken, [])
			} finally {
				for (const log of opened) await log.close()
				await fixture.close()
			}
		})
	}

	runner.describe(`ChannelLog: ${name}`, () => {
		order(check)
		reading(check)
		trimming(check)
		subscribing(check)
		edges(check)
		if (traits.shared) sharing(check)
	})
}

function order(check: Check): void {
	check('numbers the messages of all channels with one counter and links those of each', async ({ open }) => {
		const { log, got } = open()
		const start = await log.subscribe('a')
		await log.subscribe('b')
		const positions: LogPosition[] = []
		for (const channel of ['a', 'a', 'b', 'a']) positions.push(await log.append(channel, payload(channel)))
		const entries = await got.count(4)
		assert.deepEqual(
			positions.map(({ seq }) => seq - start.seq),
			[1, 2, 3, 4],
		)
		assert.deepEqual(
			entries.map(({ seq }) => seq),
			positions.map(({ seq }) => seq),
		)
		assert.ok(entries.every(({ epoch }) => epoch === start.epoch && /^[A-Za-z0-9._]{1,64}$/.test(epoch)))
		assert.equal(entries[1]?.prev, entries[0]?.seq)
		assert.equal(entries[3]?.prev, entries[1]?.seq)
		assert.ok((entries[2]?.prev ?? 0) <= start.seq)
	})

	check('delivers each message once, in order, as it was given', async ({ open }) => {
		const { log, got } = open({ size: 1_000 })
		await log.subscribe('a')
		const texts = Array.from({ length: 300 }, (_, n) => `data:${n} ü 𝄞 \\ "\ndata: two\n\n`)
		await Promise.all(texts.map((text, n) => log.append('a', text, n === 7 ? 'stream-7' : undefined)))
		const entries = await got.count(300)
		assert.equal(entries.length, 300)
		assert.deepEqual(
			entries.map((entry) => entry.payload),
			texts,
		)
		assert.equal(entries[7]?.except, 'stream-7')
		assert.equal(entries[8]?.except, undefined)
	})
}

function reading(check: Check): void {
	check(
		'reads everything after a position, merged in order, and nothing of other channels',
		async ({ open }) => {
			const { log } = open()
			const first = await log.append('a', payload('0'))
			const sent: string[] = []
			for (const [n, channel] of ['b', 'a', 'c', 'b', 'a'].entries()) {
				await log.append(channel, payload(`${n}`))
				if (channel !== 'c') sent.push(payload(`${n}`))
			}
			const page = await log.read(['a', 'b'], { after: first })
			assert.deepEqual(payloads(page), sent)
			assert.equal(page.reset, undefined)
			assert.equal(page.more, false)
			assert.deepEqual(page.upTo, { epoch: first.epoch, seq: first.seq + 5 })
			assert.deepEqual(payloads(await log.read(['a', 'b', 'd'], { after: page.upTo })), [])
		},
	)

	check('reads the newest entries of each channel', async ({ open }) => {
		const { log } = open()
		for (let n = 0; n < 6; n++) await log.append(n % 2 === 0 ? 'a' : 'b', payload(`${n}`))
		assert.deepEqual(payloads(await log.read(['a', 'b'], { last: 2 })), ['2', '3', '4', '5'].map(payload))
		assert.deepEqual(payloads(await log.read(['a'], { last: 0 })), [])
		assert.deepEqual(payloads(await log.read(['a', 'nothing'], { last: 9 })), ['0', '2', '4'].map(payload))
	})

	check('reads as many of the newest entries as each channel is to give', async ({ open }) => {
		const { log } = open()
		for (let n = 0; n < 9; n++) await log.append(['a', 'b', 'c'][n % 3] ?? 'a', payload(`${n}`))
		const last = new Map([
			['a', 1],
			['b', 9],
			['nothing', 3],
		])
		const page = await log.read(['a', 'b', 'c', 'nothing'], { last })
		assert.deepEqual(payloads(page), ['1', '4', '6', '7'].map(payload))
		assert.equal(page.more, false)
	})

	check('reads a channel from its own start, and misses nothing that lies before that', async ({ open }) => {
		const { log } = open({ size: 3 })
		const positions: LogPosition[] = []
		for (let n = 0; n < 10; n++) positions.push(await log.append(n % 2 === 0 ? 'a' : 'b', payload(`${n}`)))
		const [first, , , , fourth, fifth] = positions
		assert.ok(first && fourth && fifth)
		assert.equal((await log.read(['a', 'b'], { after: fourth })).reset, undefined)
		assert.equal((await log.read(['a', 'b'], { after: first })).reset, 'trimmed')
		const both = new Map([
			['a', fifth.seq],
			['b', positions.at(-2)?.seq ?? 0],
		])
		assert.deepEqual(
			payloads(await log.read(['a', 'b', 'never'], { after: first, since: both })),
			['6', '8', '9'].map(payload),
		)
		// A start that is earlier than the position changes nothing.
		const early = new Map([['a', first.seq]])
		assert.deepEqual(payloads(await log.read(['a'], { after: fifth, since: early })), ['6', '8'].map(payload))
		// Only the channels it names are excused.
		const one = await log.read(['a', 'b'], { after: first, since: new Map([['a', fifth.seq]]) })
		assert.equal(one.reset, 'trimmed')
		assert.deepEqual(one.entries, [])
		// Nor is what is missing after it.
		const before = await log.read(['a'], { after: first, since: new Map([['a', first.seq + 1]]) })
		assert.equal(before.reset, 'trimmed')
	})

	check('goes on after the newest entries, without a hole, with what comes meanwhile', async ({ open }) => {
		const { log } = open({ size: 5_000 })
		const last = new Map([
			['a', 1_500],
			['b', 10],
			['late', 5],
		])
		const sent: { channel: string; text: string }[] = []
		const send = (channel: string, text: string): Awaitable<LogPosition> => {
			sent.push({ channel, text: payload(text) })
			return log.append(channel, payload(text))
		}
		const sends: Awaitable<LogPosition>[] = []
		for (let n = 0; n < 4_000; n++) sends.push(send(n % 2 === 0 ? 'a' : 'b', `${n}`))
		await Promise.all(sends)
		const newest = (channel: string): string[] =>
			sent
				.filter((one) => one.channel === channel)
				.map(({ text }) => text)
				.slice(-(last.get(channel) ?? 0))
		const wanted = new Set([...newest('a'), ...newest('b')])
		const expected = sent.map(({ text }) => text).filter((text) => wanted.has(text))
		const channels = ['a', 'b', 'late', 'silent']
		let page = await log.read(channels, { last })
		const read = payloads(page)
		for (let n = 0; page.more; n++) {
			assert.equal(page.upTo.seq, page.entries.at(-1)?.seq)
			for (const channel of ['b', 'late', 'silent']) {
				await send(channel, `${channel} ${n}`)
				expected.push(payload(`${channel} ${n}`))
			}
			page = await log.read(channels, { after: page.upTo, since: page.since })
			assert.equal(page.reset, undefined)
			read.push(...payloads(page))
			if (n > 10) break
		}
		assert.deepEqual(read, expected)
	})

	check('gives a long way back in pages that join without a hole', async ({ open }) => {
		const { log } = open({ size: 5_000 })
		const first = await log.append('a', payload('first'))
		const sent = Array.from({ length: 2_500 }, (_, n) => payload(`${n}`))
		await Promise.all(sent.map((text, n) => log.append(n % 3 === 0 ? 'b' : 'a', text)))
		const pages = await readAll(log, ['a', 'b'], { after: first })
		assert.ok(pages.length > 1)
		assert.deepEqual(pages.flatMap(payloads), sent)
		for (const { more, upTo, entries } of pages) assert.ok(!more || upTo.seq === entries.at(-1)?.seq)
	})

	check('resets a position of another epoch, or one that was never given out', async ({ open }) => {
		const { log } = open()
		const { epoch, seq } = await log.append('a', payload('1'))
		assert.equal((await log.read(['a'], { after: { epoch: 'another', seq: 0 } })).reset, 'epoch')
		const future = await log.read(['a'], { after: { epoch, seq: seq + 1 } })
		assert.equal(future.reset, 'future')
		assert.deepEqual(future.entries, [])
		assert.deepEqual(future.upTo, { epoch, seq })
	})
}

function trimming(check: Check): void {
	check('knows up to where a trimmed channel is complete', async ({ open }) => {
		const { log } = open({ size: 3 })
		const positions: LogPosition[] = []
		for (let n = 0; n < 6; n++) positions.push(await log.append('a', payload(`${n}`)))
		const [, , second, third] = positions
		assert.ok(second && third)
		assert.deepEqual(payloads(await log.read(['a'], { after: second })), ['3', '4', '5'].map(payload))
		const before = positions[1]
		assert.ok(before)
		const page = await log.read(['a'], { after: before })
		assert.equal(page.reset, 'trimmed')
		assert.deepEqual(page.entries, [])
		assert.deepEqual(page.upTo, positions.at(-1))
	})

	check('gives nothing of any channel if one of them is not complete', async ({ open }) => {
		const { log } = open({ size: 2 })
		const first = await log.append('quiet', payload('0'))
		for (let n = 0; n < 4; n++) await log.append('busy', payload(`${n}`))
		await log.append('quiet', payload('1'))
		const page = await log.read(['quiet', 'busy'], { after: first })
		assert.equal(page.reset, 'trimmed')
		assert.deepEqual(page.entries, [])
		assert.deepEqual(payloads(await log.read(['quiet'], { after: first })), [payload('1')])
	})

	check('tells a channel where nothing happened from one where everything has expired', async ({ open }) => {
		const { log } = open({ ttl: 30 })
		const before = await log.append('other', payload('0'))
		const expired = await log.append('a', payload('1'))
		await until(async () => (await log.read(['a'], { last: 1 })).entries.length === 0, 'the entry to expire')
		assert.equal((await log.read(['a'], { after: before })).reset, 'trimmed')
		assert.equal((await log.read(['a'], { after: expired })).reset, undefined)
		assert.equal((await log.read(['never'], { after: before })).reset, undefined)
	})

	check('agrees with a list, whatever is sent, trimmed and read', async ({ open }) => {
		const random = generator(20_261_123)
		const { log } = open({ size: 8 })
		const list: { channel: string; seq: number; text: string }[] = []
		let { epoch, seq: start } = await log.append('x', payload('start'))
		const channels = ['a', 'b', 'c']
		for (let step = 0; step < 400; step++) {
			const channel = channels[random(3)] ?? 'a'
			const text = payload(`${step}`)
			list.push({ channel, text, seq: (await log.append(channel, text)).seq })
			if (random(4) > 0) continue
			const asked = channels.filter(() => random(2) === 0)
			const after = start + random((list.at(-1)?.seq ?? start) - start + 1)
			const page = await log.read(asked, { after: { epoch, seq: after } })
			const missed = list.filter((entry) => entry.seq > after && asked.includes(entry.channel))
			const complete = asked.every((name) => missed.filter((entry) => entry.channel === name).length <= 8)
			assert.equal(page.reset, complete ? undefined : 'trimmed')
			assert.deepEqual(payloads(page), complete ? missed.map((entry) => entry.text) : [])
			// Old positions are of no more interest.
			if (step % 50 === 0) start = Math.max(start, after)
			epoch = page.upTo.epoch
		}
	})
}

function subscribing(check: Check): void {
	check('delivers everything after the position that subscribe gives', async ({ open }) => {
		const { log, got } = open()
		await log.append('a', payload('before'))
		const since = await log.subscribe('a')
		await log.append('a', payload('after'))
		await got.count(1)
		await until(() => got.entries.some(({ payload: text }) => text === payload('after')), 'the message')
		assert.ok(got.entries.filter(({ seq }) => seq > since.seq).length === 1)
	})

	check('delivers nothing of a channel that is not subscribed any more', async ({ open }) => {
		const { log, got } = open()
		await log.subscribe('a')
		await log.subscribe('b')
		await log.append('a', payload('1'))
		await got.count(1)
		log.unsubscribe('a')
		await log.append('b', payload('2'))
		await got.count(2)
		assert.deepEqual(
			got.entries.map(({ channel }) => channel),
			['a', 'b'],
		)
		await log.subscribe('a')
		await log.append('a', payload('3'))
		await got.count(3)
	})
}

/** What applications pass now and then. */
function edges(check: Check): void {
	const odd = [' ', 'ü→😀', 'a b', '{a}:b', 'a\nb', '1 2 3 4\n', '\u2028\u2029', '__proto__', '*?[x]', '\0']

	check('gives names, payloads and left-out streams of any characters back unchanged', async ({ open }) => {
		const { log, got } = open()
		const channels = [...odd, '']
		for (const channel of channels) await log.subscribe(channel)
		const texts = [...odd, '', 'x'.repeat(100_000), '😀'.repeat(1_000)]
		for (const channel of channels) await log.append(channel, payload('1'))
		for (const text of texts) await log.append('a b', text)
		for (const except of odd) await log.append('a b', payload('2'), except)
		const live = await got.count(channels.length + texts.length + odd.length)
		const entries = (await readAll(log, channels, { last: 1_000 })).flatMap((page) => page.entries)
		for (const seen of [live, entries]) {
			const [named, plain] = [seen.slice(0, channels.length), seen.slice(channels.length, -odd.length)]
			assert.deepEqual(
				named.map(({ channel }) => channel),
				channels,
			)
			assert.deepEqual(
				plain.map((entry) => entry.payload),
				texts,
			)
			assert.deepEqual(
				seen.slice(-odd.length).map(({ except }) => except),
				odd,
			)
		}
	})

	check('gives all there is of the newest, however many are asked for', async ({ open }) => {
		const { log } = open({ size: Number.POSITIVE_INFINITY, ttl: 1e300 })
		for (let n = 0; n < 3; n++) await log.append('a', payload(`${n}`))
		for (const last of [3, 1e9, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
			assert.deepEqual(payloads(await log.read(['a'], { last })), ['0', '1', '2'].map(payload))
		}
	})

	check('keeps nothing for clients of a channel whose size is 0', async ({ open }) => {
		const { log } = open({ size: 0 })
		const before = await log.append('other', payload('0'))
		const last = await log.append('a', payload('1'))
		assert.equal((await log.read(['a'], { after: before })).reset, 'trimmed')
		assert.equal((await log.read(['a'], { after: last })).reset, undefined)
		assert.deepEqual(payloads(await log.read(['a'], { last: 5 })), [])
	})

	check('forgets what is too old also on a channel that goes on', async ({ open }) => {
		const { log } = open({ ttl: 30 })
		const before = await log.append('other', payload('0'))
		await log.append('a', payload('1'))
		await until(async () => {
			await log.append('a', payload('2'))
			return (await log.read(['a'], { after: before })).reset === 'trimmed'
		}, 'the first entry to be forgotten')
	})

	check('takes many channels at once, and a channel that is left before it is certain', async ({ open }) => {
		const { log, got } = open()
		const names = Array.from({ length: 1_200 }, (_, n) => `c${n}`)
		const subscribing = names.map((name) => log.subscribe(name))
		const left = Promise.resolve(log.subscribe('left')).catch(() => undefined)
		log.unsubscribe('left')
		await Promise.all([...subscribing, left])
		await Promise.all(names.map((name) => log.append(name, payload(name))))
		const entries = await got.count(names.length)
		assert.ok(entries.every((entry, n) => n === 0 || entry.seq > (entries[n - 1]?.seq ?? 0)))
	})

	check('is certain from the position that subscribe gives, while others send', async ({ open }) => {
		const { log, got } = open({ size: 100_000 })
		let sending = true
		const sender = (async () => {
			for (let n = 0; sending; n++) await log.append(`c${n % 4}`, payload(`${n}`))
		})()
		try {
			for (const channel of ['c0', 'c1', 'c2', 'c3']) {
				const since = await log.subscribe(channel)
				const fence = await log.append(channel, payload('fence'))
				await until(
					() => got.entries.some((entry) => entry.channel === channel && entry.seq >= fence.seq),
					'the fence',
				)
				const { entries } = await log.read([channel], { after: since })
				const upTo = (entry: LogEntry): boolean =>
					entry.channel === channel && entry.seq > since.seq && entry.seq <= fence.seq
				assert.deepEqual(
					got.entries.filter(upTo).map(({ seq }) => seq),
					entries.filter(upTo).map(({ seq }) => seq),
				)
			}
		} finally {
			sending = false
			await sender
		}
		assert.deepEqual(got.errors, [])
	})

	check('says up to where it has delivered everything, also while others send', async ({ open, verify }) => {
		const { log, got } = open({ size: 10_000 })
		const channels = ['silent', 'a', 'b', 'c']
		for (const channel of channels) await log.subscribe(channel)
		const sends: Awaitable<LogPosition>[] = []
		for (let n = 0; n < 300; n++) {
			sends.push(log.append(channels[1 + (n % 3)] ?? 'a', payload(`${n}`)))
			if (n % 50 === 0) await Promise.all([verify?.(log), ...sends.splice(0)])
		}
		const last = (await Promise.all(sends)).at(-1)
		await got.count(300)
		await verify?.(log)
		// The checks above hold for what was said; and when nothing is on its way it reaches to the end.
		if (verify !== undefined) assert.deepEqual(got.caughtUpTo.at(-1), last)
	})

	check('can be closed twice', async ({ open }) => {
		const { log } = open()
		await log.subscribe('a')
		await log.close()
		await log.close()
	})
}

function sharing(check: Check): void {
	check('delivers to all instances in the same order, to the sender too', async ({ open }) => {
		const one = open({ size: 1_000 }, 'one-')
		const two = open({ size: 1_000 }, 'two-')
		for (const { log } of [one, two]) {
			await log.subscribe('a')
			await log.subscribe('b')
		}
		const sends: (LogPosition | Promise<LogPosition>)[] = []
		for (let n = 0; n < 200; n++) {
			sends.push((n % 2 === 0 ? one : two).log.append(n % 3 === 0 ? 'a' : 'b', payload(`${n}`)))
		}
		const positions = await Promise.all(sends)
		assert.equal(new Set(positions.map(({ seq }) => seq)).size, 200)
		const [first, second] = [await one.got.count(200), await two.got.count(200)]
		assert.deepEqual(first, second)
		assert.ok(first.every((entry, n) => n === 0 || entry.seq > (first[n - 1]?.seq ?? 0)))
	})

	check(
		'says of an instance on whose channels nothing happens that it is up to date',
		async ({ open, verify }) => {
			if (verify === undefined) return
			const one = open({}, 'one-')
			const two = open({}, 'two-')
			await two.log.subscribe('silent')
			let last = await one.log.append('busy', payload('0'))
			await verify(two.log)
			assert.deepEqual(two.got.caughtUpTo.at(-1), last)
			for (let n = 0; n < 20; n++) last = await one.log.append(`busy ${n % 3}`, payload(`${n}`))
			await verify(two.log)
			assert.deepEqual(two.got.caughtUpTo.at(-1), last)
			assert.deepEqual(two.got.entries, [])
			// What comes next on the silent channel is no hole, and comes once.
			await one.log.append('silent', payload('1'))
			await two.got.count(1)
			assert.deepEqual(two.got.resets, [])
		},
	)

	check('gives an instance that comes later the same history', async ({ open }) => {
		const one = open({}, 'one-')
		const first = await one.log.append('a', payload('0'))
		await one.log.append('a', payload('1'))
		const two = open({}, 'two-')
		assert.deepEqual(payloads(await two.log.read(['a'], { after: first })), [payload('1')])
	})

	check('hands a message for a stream to the instance that holds it, and to no other', async ({ open }) => {
		const one = open({}, 'one-')
		const two = open({}, 'two-')
		await until(async () => {
			await one.log.direct('two-5', payload('hello'))
			return two.got.directs.length > 0
		}, 'the message')
		assert.deepEqual(two.got.directs[0], ['two-5', payload('hello')])
		assert.deepEqual(one.got.directs, [])
	})
}

function payload(text: string): string {
	return `data:${text}\n\n`
}

function payloads(page: LogPage): string[] {
	return page.entries.map((entry) => entry.payload)
}

/** Reads on to the end. */
async function readAll(log: ChannelLog, channels: readonly string[], start: LogStart): Promise<LogPage[]> {
	const pages = [await log.read(channels, start)]
	for (let page = pages[0]; page?.more; page = pages.at(-1)) {
		assert.ok(page.entries.length > 0)
		pages.push(await log.read(channels, { after: page.upTo, since: page.since }))
	}
	assert.ok(pages.every(({ reset }) => reset === undefined))
	return pages
}

/** Numbers from 0 to below `limit`, the same ones for the same seed. */
function generator(seed: number): (limit: number) => number {
	let state = seed
	return (limit) => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
		return Math.floor((state / 2 ** 32) * limit)
	}
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
	const deadline = performance.now() + 10_000
	while (!(await holds())) {
		if (performance.now() > deadline) assert.fail(`Waited in vain for ${what}.`)
		await new Promise((resolve) => setTimeout(resolve, 2))
	}
}
