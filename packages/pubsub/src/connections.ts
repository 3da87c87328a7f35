import { type Cluster, Redis, type RedisOptions } from 'ioredis'
import { outsideContext } from './context.js'

/** Where the connections come from: options or a URL to make them, or an existing client, which is never closed. */
export type RedisSource = RedisOptions | string | Redis | Cluster

/** The connection commands go through, and a way to make connections that only subscribe. */
export interface Connections {
	readonly client: Redis | Cluster
	/** `true` if {@link Connections.client} was made here, so is closed here. */
	readonly owned: boolean
	/** A new connection that does not reconnect by itself; `undefined` while a Cluster knows no node. */
	openSubscriber(): Redis | undefined
}

// How long a socket that was ended may take to close before it is destroyed, in ms. A dead peer never closes it.
const DISCONNECT_TIMEOUT = 50

/** Milliseconds to wait before attempt number `attempt` (from 1): doubling from 50 to 2000, and up to a quarter more. */
export function backOff(attempt: number): number {
	return Math.min(50 * 2 ** (attempt - 1), 2000) * (1 + Math.random() / 4)
}

/** Tells a server that only reads, as after a failover, by its error. Nothing was executed. */
export function isReadOnlyError(error: unknown): boolean {
	return error instanceof Error && error.message.includes('READONLY')
}

export function isCluster(client: Redis | Cluster): client is Cluster {
	return client.isCluster
}

function isClient(source: RedisSource): source is Redis | Cluster {
	return typeof source === 'object' && 'duplicate' in source && 'isCluster' in source
}

/**
 * Opens, or takes over, the connection for commands.
 *
 * @param answerTimeout After so many milliseconds without an answer, a connection made here is replaced.
 */
export function connectTo(source: RedisSource, name: string, answerTimeout: number): Connections {
	if (isClient(source)) {
		return { client: source, owned: false, openSubscriber: () => openSubscriber(source, name) }
	}
	const given: RedisOptions = typeof source === 'string' ? {} : source
	const options: RedisOptions & { replyMapping: 'legacy' } = {
		disconnectTimeout: DISCONNECT_TIMEOUT,
		socketTimeout: answerTimeout,
		connectionName: name,
		...given,
		replyMapping: 'legacy',
		maxRetriesPerRequest: null,
		retryStrategy: backOff,
		reconnectOnError: (error) => isReadOnlyError(error),
	}
	const client = outsideContext(() =>
		typeof source === 'string' ? new Redis(source, options) : new Redis(options),
	)
	return { client, owned: true, openSubscriber: () => openSubscriber(client, name) }
}

function openSubscriber(client: Redis | Cluster, name: string): Redis | undefined {
	return nodeOf(client)?.duplicate({
		autoResubscribe: false,
		autoResendUnfulfilledCommands: false,
		commandTimeout: undefined,
		connectionName: `${name}:subscriber`,
		disconnectTimeout: DISCONNECT_TIMEOUT,
		enableAutoPipelining: false,
		enableOfflineQueue: true,
		enableReadyCheck: true,
		himportFieldsets: undefined,
		lazyConnect: false,
		maxRetriesPerRequest: null,
		monitor: false,
		readOnly: false,
		reconnectOnError: null,
		retryStrategy: () => null,
		scripts: undefined,
		socketTimeout: undefined,
	})
}

/** Classic Pub/Sub reaches every node of a Cluster, so any one will do; another one after each failure. */
function nodeOf(client: Redis | Cluster): Redis | undefined {
	wake(client)
	if (!isCluster(client)) return client
	const nodes = client.nodes()
	return nodes[Math.floor(Math.random() * nodes.length)]
}

/** Connects a client that waits for its first use. */
export function wake(client: Redis | Cluster): void {
	// How it fails is told by its 'error' event.
	if (client.status === 'wait') outsideContext(() => client.connect().catch(() => {}))
}

/** Closes a connection, however it is doing. Resolves when its socket is closed, after 1 s at the latest. */
export function closeConnection(client: Redis | Cluster): Promise<void> {
	if (client.status === 'end') return Promise.resolve()
	// Between two attempts there is no socket, and ioredis emits no 'end'.
	const socketless = client.status === 'reconnecting'
	return new Promise((resolve) => {
		const done = (): void => {
			clearTimeout(timer)
			client.off('end', done)
			resolve()
		}
		const timer = setTimeout(done, 1000)
		client.on('end', done)
		client.disconnect()
		if (socketless) done()
	})
}
