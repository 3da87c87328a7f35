import { EvClosedError, EvUnavailableError } from '@evstream/core'
import type { Redis } from 'ioredis'
import { afterReading } from './after-reading.js'
import { backOff, bytesReceived, closeConnection } from './connections.js'
import { outsideContext } from './context.js'
import { Outage } from './outage.js'
import { Subscription } from './subscription.js'

/** How a subscriber finds out that a connection that looks alive delivers nothing. */
export interface Probe {
	/** Milliseconds between two probes. */
	readonly interval: number
	/** The channel it goes through, private to this subscriber. */
	readonly channel: string
	/** `false` while a probe could prove nothing about the subscriber. */
	ready(): boolean
	/** Publishes the token to the channel. */
	send(token: string): void
	/** Redis has taken the token that was sent last. If not, a missing echo says nothing about the subscriber. */
	taken(): boolean
}

/**
 * How many timeouts a connection may take for one step while data keeps arriving on it. Redis itself cuts a subscriber
 * whose link is too slow, by default after 60 s.
 */
const MOST_TIMEOUTS = 15

/** What a subscriber needs, and whom it tells. */
export interface SubscriberHost {
	/** A new connection that does not reconnect by itself, or `undefined` if none can be made now. */
	open(): Redis | undefined
	/**
	 * Milliseconds for each of: connect, subscribe to everything, bring back a probe. A step takes longer, within a
	 * bound, while data arrives: a burst behind a slow link is life.
	 */
	readonly timeout: number
	readonly probe: Probe | undefined
	onError(error: unknown): void
	onLost(): void
	onRestored(): void
}

/**
 * The subscriber connection, replaced for ever when it fails. Each connection is a new client, so what an old one
 * still says is told apart by identity.
 *
 *   idle ─► connecting ─► subscribing ─► up
 *                ▲             │          │
 *                └── waiting ◄─┴──────────┘       one timer: deadline, probe or back-off, whatever the phase needs
 */
export class Subscriber {
	readonly #host: SubscriberHost
	readonly #outage: Outage
	readonly #channels = new Map<string, Subscription>()
	#phase: 'idle' | 'connecting' | 'subscribing' | 'up' | 'waiting' | 'closed' = 'idle'
	#redis: Redis | undefined
	#timer: NodeJS.Timeout | undefined
	#attempt = 0
	/** SUBSCRIBEs of the current connection without an answer. */
	#unanswered = 0
	#isLost = false
	#probe: { token: string; sentAt: number } | undefined
	#probes = 0
	#messages = 0

	reconnects = 0
	probeRoundTripMs = 0

	constructor(host: SubscriberHost) {
		this.#host = host
		this.#outage = new Outage((error) => host.onError(error))
		if (host.probe) this.#channels.set(host.probe.channel, new Subscription())
	}

	/** Channels with a handler. */
	get channels(): number {
		return this.#channels.size - (this.#host.probe ? 1 : 0)
	}

	/** `true` when every channel is confirmed, and also before the first one. */
	get isUp(): boolean {
		return this.#phase === 'up' || this.#phase === 'idle'
	}

	async subscribe(channel: string, handler: (payload: string) => void): Promise<() => void> {
		if (this.#phase === 'closed') throw new EvClosedError('The Redis bus')
		const subscription = this.#channels.get(channel) ?? outsideContext(() => this.#open(channel))
		const remove = subscription.add(handler)
		await subscription.whenConfirmed()
		return () => {
			remove()
			if (!subscription.isEmpty || this.#channels.get(channel) !== subscription) return
			this.#channels.delete(channel)
			// If this fails the connection is over, and the next one does not ask for the channel.
			const redis = this.#redis
			if (redis?.status === 'ready') outsideContext(() => redis.unsubscribe(channel).catch(() => {}))
		}
	}

	async close(): Promise<void> {
		this.#phase = 'closed'
		this.#stopTimer()
		const redis = this.#redis
		this.#redis = undefined
		for (const subscription of this.#channels.values())
			subscription.refuse(new EvClosedError('The Redis bus'))
		this.#channels.clear()
		if (redis) await closeConnection(redis)
	}

	#open(channel: string): Subscription {
		const subscription = new Subscription()
		this.#channels.set(channel, subscription)
		if (this.#phase === 'idle') this.#connect()
		else if (this.#redis && (this.#phase === 'up' || this.#phase === 'subscribing')) {
			this.#send(this.#redis, channel, subscription)
			// It slept while there was no channel.
			if (this.#phase === 'up' && this.channels === 1) this.#sendProbe()
		}
		return subscription
	}

	readonly #connect = (): void => {
		this.#phase = 'connecting'
		const redis = this.#host.open()
		if (!redis) {
			this.#retry()
			return
		}
		this.#redis = redis
		redis.on('error', (error) => {
			if (redis === this.#redis) this.#outage.report(error)
		})
		redis.on('message', (channel, payload) => {
			if (redis === this.#redis) this.#deliver(channel, payload)
		})
		redis.on('ready', () => {
			if (redis === this.#redis) this.#subscribeAll(redis)
		})
		redis.on('end', () => {
			if (redis === this.#redis) this.#retry()
		})
		this.#expect('connect')
	}

	#subscribeAll(redis: Redis): void {
		this.#phase = 'subscribing'
		this.#unanswered = 0
		this.#expect('subscribe')
		for (const [channel, subscription] of this.#channels) this.#send(redis, channel, subscription)
	}

	#send(redis: Redis, channel: string, subscription: Subscription): void {
		this.#unanswered++
		redis.subscribe(channel).then(
			() => {
				if (redis !== this.#redis) return
				subscription.confirm()
				this.#answered()
			},
			(error: unknown) => {
				// Without a ready connection this is no answer of Redis: 'end' follows and says the rest.
				if (redis !== this.#redis || redis.status !== 'ready') return
				if (channel === this.#host.probe?.channel) {
					const message = `Redis refuses the probe's channel ${channel}: allow it, or set probe to false.`
					this.#replace(new EvUnavailableError(message, { cause: error }))
					return
				}
				if (subscription.wasConfirmed) {
					this.#replace(error)
					return
				}
				this.#channels.delete(channel)
				subscription.refuse(error)
				this.#answered()
			},
		)
	}

	#answered(): void {
		if (--this.#unanswered > 0 || this.#phase !== 'subscribing') return
		this.#phase = 'up'
		this.#attempt = 0
		this.#outage.over()
		this.#scheduleProbe()
		if (!this.#isLost) return
		this.#isLost = false
		this.reconnects++
		this.#host.onRestored()
	}

	#deliver(channel: string, payload: string): void {
		this.#messages++
		if (channel === this.#host.probe?.channel) this.#echo(payload)
		else this.#channels.get(channel)?.deliver(payload, this.#host.onError)
	}

	#scheduleProbe(): void {
		if (this.#host.probe) this.#after(this.#host.probe.interval, this.#sendProbe)
		else this.#stopTimer()
	}

	readonly #sendProbe = (): void => {
		const { probe, timeout } = this.#host
		const redis = this.#redis
		this.#probe = undefined
		if (!probe || !redis || this.channels === 0) return
		if (!probe.ready()) {
			this.#scheduleProbe()
			return
		}
		this.#probe = { token: String(++this.#probes), sentAt: performance.now() }
		const before = this.#received()
		probe.send(this.#probe.token)
		this.#after(timeout / 2, () => {
			// Redis may get nothing from this instance. The subscriber can still be asked on its own connection.
			if (!probe.taken()) outsideContext(() => redis.ping().catch(() => {}))
			this.#waitFor(timeout / 2, before, () => {
				if (!probe.taken() && this.#received() !== before) this.#scheduleProbe()
				else
					this.#replace(
						new EvUnavailableError(`Redis delivered nothing for ${timeout} ms; connecting again.`),
					)
			})
		})
	}

	#echo(token: string): void {
		if (token !== this.#probe?.token) return
		this.probeRoundTripMs = performance.now() - this.#probe.sentAt
		this.#probe = undefined
		this.#scheduleProbe()
	}

	/** Gives the current connection `timeout` ms to get to the next phase. */
	#expect(what: string): void {
		const { timeout } = this.#host
		this.#waitFor(timeout, this.#received(), () =>
			this.#replace(new EvUnavailableError(`Redis let no subscriber ${what} within ${timeout} ms.`)),
		)
	}

	/** Runs `overdue` after `ms`, or after the first `timeout` in which nothing arrived, but not later than the bound. */
	#waitFor(ms: number, before: number, overdue: () => void, timeouts = 1): void {
		this.#after(ms, () => {
			const timer = this.#timer
			afterReading(this.#received, () => {
				// What was read may have been what this waited for.
				if (this.#timer !== timer) return
				const received = this.#received()
				if (received === before || timeouts >= MOST_TIMEOUTS) overdue()
				else this.#waitFor(this.#host.timeout, received, overdue, timeouts + 1)
			})
		})
	}

	/** Changes with everything that arrives on the current connection. */
	readonly #received = (): number => this.#messages + (this.#redis ? bytesReceived(this.#redis) : 0)

	#replace(error: unknown): void {
		this.#outage.report(error)
		this.#retry()
	}

	/** Gives up the current connection and tries a new one after a while. */
	#retry(): void {
		// Also before all channels are confirmed, one that was begins to miss something.
		const wasHeard = [...this.#channels.values()].some((subscription) => subscription.isConfirmed)
		const redis = this.#redis
		this.#redis = undefined
		this.#probe = undefined
		this.#phase = 'waiting'
		for (const subscription of this.#channels.values()) subscription.lose()
		if (redis) void closeConnection(redis)
		this.#after(backOff(++this.#attempt), this.#connect)
		if (!wasHeard || this.#isLost) return
		this.#isLost = true
		this.#host.onLost()
	}

	#stopTimer(): void {
		clearTimeout(this.#timer)
		this.#timer = undefined
	}

	/** Sets the one timer, in place of the one before. It never keeps the process alive. */
	#after(ms: number, run: () => void): void {
		clearTimeout(this.#timer)
		this.#timer = setTimeout(run, ms)
		this.#timer.unref()
	}
}
