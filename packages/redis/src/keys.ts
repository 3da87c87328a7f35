/**
 * How long commits of a state are refused after it was put back, in ms: after a loss every instance gets the time
 * to reconnect (the bus waits 2.5 s at most between two attempts), so that the newest version wins and not the
 * first one, on which others would go on and lose that.
 */
export const SETTLING_MS = 2500

/**
 * The name of every key and every Pub/Sub channel. All of them begin with `{namespace}:`, which puts them into one
 * slot of a Cluster and under one pattern of an ACL.
 *
 * ioredis puts a client's `keyPrefix` before keys, but not before channels: in scripts, use {@link published}.
 */
export class RedisNames {
	/** `{namespace}` */
	readonly tag: string
	readonly #keyPrefix: string
	/** `{namespace}:<database>`: Pub/Sub crosses databases, and keys do not. */
	readonly #scope: string

	/** @throws TypeError if the namespace is empty, has braces, spaces or control characters. */
	constructor(namespace: string, keyPrefix: string, database = 0) {
		if (typeof namespace !== 'string' || !/^[^{}\s\p{Cc}]+$/u.test(namespace)) {
			throw new TypeError('namespace must be a string without braces, spaces and control characters.')
		}
		this.tag = `{${namespace}}`
		this.#scope = `${this.tag}:${database}`
		this.#keyPrefix = keyPrefix
	}

	/** A channel's name as Redis knows it, for `PUBLISH` in a script. */
	published(channel: string): string {
		return this.#keyPrefix + channel
	}

	/** Hash: `v` version, `s` stamp, `b` incarnation, `d` value; `t`, `u` whose turn it is and until when. Never expires. */
	state(name: string): string {
		return `${this.tag}:state:${name}`
	}

	/** String: `<version> <incarnation>` of a state that was removed. Expires in a week. */
	tombstone(name: string): string {
		return `${this.tag}:gone:${name}`
	}

	/** String: the number of a writer's last operation. Expires in 15 minutes or later. */
	operation(writer: string): string {
		return `${this.tag}:done:${writer}`
	}

	/** String: there for {@link SETTLING_MS} after the state was put back. */
	settling(name: string): string {
		return `${this.tag}:back:${name}`
	}

	/** Hash: name → initial value of every state on the list. Never expires. */
	get list(): string {
		return `${this.tag}:states`
	}

	/** String: names the last change of the list. Never expires. */
	get listChange(): string {
		return `${this.tag}:listed`
	}

	/** Channel: `<version> <stamp> <incarnation> <value>` for each commit, `gone` for a removal. */
	stateChannel(name: string): string {
		return `${this.#scope}:state:${name}`
	}

	/** Channel: `<stamp before> <stamp after> <name>` for each change of the list. */
	get listChannel(): string {
		return `${this.#scope}:states`
	}

	/** Hash: the log's epoch and counter, what tells a server that lost data from one that did not, and the last batches. */
	get log(): string {
		return `${this.tag}:log`
	}

	/** Sorted set: channel → number of its last message. Expires with the log. */
	get channels(): string {
		return `${this.tag}:channels`
	}

	/** Hash: instance → the lowest position it uses, and when it said so. Expires with the log. */
	get instances(): string {
		return `${this.tag}:instances`
	}

	/** Hash: channel → what managers with history keep of it. Expires with the log. */
	get retention(): string {
		return `${this.tag}:retention`
	}

	/** Stream: the newest messages of a channel. Expires after 1.5 times its history's ttl. */
	channel(name: string): string {
		return `${this.tag}:channel:${name}`
	}

	/** Channel: the messages of a channel, each behind a line `<epoch> <seq> <prev> <lengths>`. */
	messageChannel(name: string): string {
		return `${this.#scope}:channel:${name}`
	}

	/** Channel: messages for single streams of one instance. */
	directChannel(instance: string): string {
		return `${this.#scope}:direct:${instance}`
	}
}
