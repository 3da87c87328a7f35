import type { Cluster, Redis } from 'ioredis'
import { AnswerWatch } from './answer-watch.js'
import { onClient } from './client-events.js'
import { bytesReceived, type Connections, isCluster } from './connections.js'

/** The connection for commands, and what it does by itself. */
export type CommandConnection = Pick<Connections, 'client' | 'owned' | 'keepsUnanswered' | 'answerTimeout'>

/** Who is told what becomes of the connection for commands. */
export interface LinkEvents {
	onReady(): void
	/** Commands without an answer will get none. */
	onLost(): void
	/** The client is closed and does not reconnect. */
	onEnd(): void
	/** An answer is due and nothing has arrived for too long. */
	onSilence(): void
}

/**
 * The connection for commands: whether it is ready, which one it is, and whether it answers. A connection made here
 * that answers nothing is replaced.
 */
export class CommandLink {
	readonly client: Redis | Cluster
	readonly #watch: AnswerWatch
	readonly #undo: (() => void)[]
	/** Commands that the client has and did not settle, also those that their caller gave up. */
	readonly #unsettled = new Set<object>()
	#isReady: boolean
	#connection: number
	#settled = 0

	constructor({ client, owned, keepsUnanswered, answerTimeout }: CommandConnection, events: LinkEvents) {
		this.client = client
		this.#isReady = client.status === 'ready'
		this.#connection = this.#isReady ? 1 : 0
		this.#watch = new AnswerWatch({
			timeout: answerTimeout,
			received: this.received,
			isDue: () => (this.#isReady && this.#unsettled.size > 0) || (owned && client.status === 'connect'),
			onSilence: () => {
				events.onSilence()
				if (owned) client.disconnect(true)
			},
		})
		this.#undo = [
			onClient(client, 'connect', () => {
				if (owned && !isCluster(client)) this.#watch.start()
			}),
			onClient(client, 'ready', () => {
				if (client.status !== 'ready') return
				this.#isReady = true
				this.#connection++
				if (this.#unsettled.size > 0) this.#watch.start()
				events.onReady()
			}),
			onClient(client, 'close', () => {
				this.#isReady = false
				this.#watch.stop()
				if (keepsUnanswered) return
				this.#unsettled.clear()
				events.onLost()
			}),
			onClient(client, 'end', () => {
				this.#isReady = false
				this.#watch.stop()
				events.onEnd()
			}),
		]
	}

	/** Commands go out at once. It becomes `true` with the client's event and not a tick before. */
	get isReady(): boolean {
		return this.#isReady && this.client.status === 'ready'
	}

	/** The client was closed and does not reconnect. */
	get isEnded(): boolean {
		const { status } = this.client
		if (status === 'end') return true
		// Closed between two attempts, a client emits nothing and keeps this status for ever.
		return status === 'reconnecting' && Reflect.get(this.client, 'manuallyClosing') === true
	}

	/** An answer is due, and nothing has arrived for too long. */
	get isSilent(): boolean {
		return this.#watch.isSilent
	}

	/** Rises with each connection that became ready. */
	get connection(): number {
		return this.#connection
	}

	/** Changes with everything that arrives. */
	readonly received = (): number => this.#settled + bytesReceived(this.client)

	/** A command is being sent. Returns what to call when the client settles it. */
	sending(): () => void {
		const command = {}
		this.#unsettled.add(command)
		this.#watch.start()
		return () => {
			this.#unsettled.delete(command)
			this.#settled++
		}
	}

	close(): void {
		this.#watch.stop()
		for (const undo of this.#undo) undo()
	}
}
