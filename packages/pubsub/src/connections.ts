import type { Socket } from 'node:net'
import { type Cluster, Redis, type RedisOptions } from 'ioredis'
import { outsideContext } from './context.js'
import { isReadOnlyError } from './refusal.js'

/** Where the connections come from: options or a URL to make them, or an existing client, which is never closed. */
export type RedisSource = RedisOptions | string | Redis | Cluster

/** The connection commands go through, and a way to make connections that only subscribe. */
export interface Connections {
	readonly client: Redis | Cluster
	/** `true` if {@link Connections.client} was made here, so is closed here. */
	readonly owned: boolean
	/** The client may send a command by itself, long after its caller gave it up. */
	readonly resends: boolean
	/** When its connection breaks the client keeps commands without an answer, to send them again. */
	readonly keepsUnanswered: boolean
	/** How long a connection may owe an answer before it counts as dead, in ms. */
	readonly answerTimeout: number
	/** A new connection that does not reconnect by itself; `undefined` while a Cluster knows no node. */
	openSubscriber(): Redis | undefined
}

// How long a socket that was ended may take to close before it is destroyed, in ms. A dead peer never closes it.
const DISCONNECT_TIMEOUT = 50

/** Milliseconds to wait before attempt number `attempt` (from 1): doubling from 50 to 2000, and up to a quarter more. */
export function backOff(attempt: number): number {
	return Math.min(50 * 2 ** (attempt - 1), 2000) * (1 + Math.random() / 4)
}

/** How often a connection is replaced because its server only reads, in ms between two times. */
const READ_ONLY_PAUSE = 1000

/** Whether to reconnect on an error: a server that only reads may have been replaced by another one. */
function reconnectOnReadOnly(): (error: Error) => boolean {
	let last = Number.NEGATIVE_INFINITY
	return (error) => {
		if (!isReadOnlyError(error) || performance.now() - last < READ_ONLY_PAUSE) return false
		last = performance.now()
		return true
	}
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
 * @param answerTimeout How long a connection made here may owe an answer, in ms, unless the options say otherwise by
 * `socketTimeout`.
 * @throws TypeError for a client that would answer nothing after a lost connection.
 */
export function connectTo(source: RedisSource, name: string, answerTimeout: number): Connections {
	if (isClient(source)) {
		checkPipelining(source)
		return {
			client: source,
			owned: false,
			...resending(source),
			answerTimeout,
			openSubscriber: () => openSubscriber(source, name),
		}
	}
	const given: RedisOptions = typeof source === 'string' ? {} : source
	const timeout = given.socketTimeout ?? answerTimeout
	const options: RedisOptions & { replyMapping: 'legacy' } = {
		disconnectTimeout: DISCONNECT_TIMEOUT,
		connectionName: name,
		...given,
		// It destroys the connection of a process that was frozen before its answers are read: see AnswerWatch.
		socketTimeout: undefined,
		// Less than the timeout, so that a server that loads its data is not silent.
		maxLoadingRetryTime: timeout / 2,
		replyMapping: 'legacy',
		stringNumbers: false,
		retryStrategy: backOff,
		reconnectOnError: reconnectOnReadOnly(),
		// What was sent when the connection broke fails at once and is never sent by ioredis again: its caller may have
		// given up by then. `autoResendUnfulfilledCommands: false` alone would leave it without an answer for ever.
		autoResendUnfulfilledCommands: false,
		maxRetriesPerRequest: 0,
	}
	const client = outsideContext(() =>
		typeof source === 'string' ? new Redis(source, options) : new Redis(options),
	)
	return {
		client,
		owned: true,
		resends: false,
		keepsUnanswered: false,
		answerTimeout: timeout,
		openSubscriber: () => openSubscriber(client, name),
	}
}

/**
 * Without an answer to a pipeline, auto-pipelining sends no other one: the client must settle what was sent when its
 * connection breaks. A Cluster does, and so does `maxRetriesPerRequest: 0`.
 */
function checkPipelining(client: Redis | Cluster): void {
	if (isCluster(client)) return
	const { enableAutoPipelining, autoResendUnfulfilledCommands, maxRetriesPerRequest } = client.options
	if (!enableAutoPipelining || autoResendUnfulfilledCommands !== false || maxRetriesPerRequest === 0) return
	throw new TypeError(
		'A client with enableAutoPipelining and autoResendUnfulfilledCommands: false stops after its first lost connection. Set maxRetriesPerRequest: 0 on it too, or leave out one of the two.',
	)
}

/** What an existing client does with commands that have no answer when its connection breaks. */
function resending(client: Redis | Cluster): Pick<Connections, 'resends' | 'keepsUnanswered'> {
	// Each node's connection fails its commands at once, and the Cluster sends them again.
	if (isCluster(client)) return { resends: true, keepsUnanswered: true }
	const { autoResendUnfulfilledCommands: keepsUnanswered = true, enableOfflineQueue = true } = client.options
	return { resends: keepsUnanswered || enableOfflineQueue, keepsUnanswered }
}

/** The number of the database that the client is connected to. */
export function databaseOf(client: Redis | Cluster): number {
	return isCluster(client) ? 0 : (client.condition?.select ?? client.options.db ?? 0)
}

/** Bytes that the current connection of the client has received; 0 for a Cluster. */
export function bytesReceived(client: Redis | Cluster): number {
	// There is no stream before the first attempt, whatever the type says.
	const stream: Socket | undefined = isCluster(client) ? undefined : Reflect.get(client, 'stream')
	return stream?.bytesRead ?? 0
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
