/**
 * One instance in a process of its own: an HTTP server whose streams listen to all channels, and, if it is told to, a
 * publisher. Its one argument is {@link InstanceSettings} as JSON; it talks to its parent as {@link InstanceOrder} and
 * {@link InstanceNews} say, and ends with it.
 */
import { createServer } from 'node:http'
import { EvStreamManager } from '@evstream/core'
import { EvRedisAdapter } from '../../src/index.js'

/** What an instance is told at its start. */
export interface InstanceSettings {
	readonly url: string
	readonly namespace: string
	readonly channels: readonly string[]
	/** Messages kept of each channel. */
	readonly history: number
	/** Begins every message it sends; no other instance, nor an earlier one, has the same. */
	readonly publisher: string
	/** Messages per second over all channels; 0 publishes nothing. */
	readonly rate: number
	/** It publishes what is due every so many ms. */
	readonly tick: number
	/** After how many ms clients come back. */
	readonly retry: number
}

/** What an instance is told later: publish, stop publishing, send the last message of each channel. */
export type InstanceOrder = 'publish' | 'stop' | 'end'

/** What an instance says. */
export interface InstanceNews {
	/** It takes streams on this port. */
	readonly port?: number
	/** Messages that were accepted since the last time: the channel's index, the number, the id. */
	readonly accepted?: readonly (readonly [number, number, string])[]
	/** Messages that were refused since the last time: the channel's index, the number, why. */
	readonly refused?: readonly (readonly [number, number, string])[]
	/** It publishes no more, and everything was accepted or refused. */
	readonly stopped?: Readonly<Record<string, number>>
	/** The ids of the last messages. */
	readonly ended?: readonly (string | undefined)[]
}

const settings: InstanceSettings = JSON.parse(process.argv[2] ?? '{}')
const { channels, publisher, rate, tick } = settings
const onError = (): void => {}
const adapter = new EvRedisAdapter(settings.url, { namespace: settings.namespace, onError })
const manager = new EvStreamManager({
	adapter,
	history: { size: settings.history, ttl: 600_000 },
	onError,
})

let accepted: [number, number, string][] = []
let refused: [number, number, string][] = []
const pending = new Set<Promise<void>>()
const numbers = channels.map(() => 0)
let sent = 0
let timer: NodeJS.Timeout | undefined

function say(news: InstanceNews): void {
	if (process.connected) process.send?.(news)
}

function report(): void {
	if (accepted.length + refused.length === 0) return
	say({ accepted, refused })
	accepted = []
	refused = []
}

function sendOne(index: number, channel: string): void {
	const number = (numbers[index] ?? 0) + 1
	numbers[index] = number
	const done = manager.send(channel, { event: channel, data: `${publisher} ${number}` }).then(
		(id = '') => void accepted.push([index, number, id]),
		(error: unknown) => void refused.push([index, number, String(error)]),
	)
	pending.add(done)
	void done.finally(() => pending.delete(done))
}

function publish(): void {
	if (rate === 0 || timer !== undefined) return
	const begin = performance.now()
	timer = setInterval(() => {
		const due = ((performance.now() - begin) * rate) / 1000
		for (; sent < due; sent++) {
			const index = sent % channels.length
			sendOne(index, channels[index] ?? '')
		}
		report()
	}, tick)
}

async function stop(): Promise<void> {
	clearInterval(timer)
	await Promise.all(pending)
	report()
	const { adapter: counters, ...own } = manager.stats()
	say({ stopped: { ...counters, ...own } })
}

async function end(): Promise<void> {
	const ids = await Promise.all(
		channels.map((channel) => manager.send(channel, { event: channel, data: 'end' })),
	)
	say({ ended: ids })
}

const orders: Record<InstanceOrder, () => unknown> = { publish, stop, end }
process.on('message', (order: InstanceOrder) => orders[order]())
process.on('disconnect', () => process.exit())

const server = createServer((req, res) => {
	const stream = manager.createStream(req, res)
	stream.message({ event: 'hello', data: '', retry: settings.retry })
	for (const channel of channels) stream.listen(channel)
})
server.listen(0, '127.0.0.1', () => {
	const address = server.address()
	if (address !== null && typeof address === 'object') say({ port: address.port })
})
