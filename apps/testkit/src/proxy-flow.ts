import type { Socket } from 'node:net'

/** One direction of a proxied connection: chunks leave in the order they came, late or held if so told. */
export class ProxyFlow {
	/** Milliseconds each chunk waits. */
	delayMs = 0
	/** Bytes that pass in a second; 0: all that come. */
	bytesPerSecond = 0

	readonly #source: Socket
	readonly #target: Socket
	readonly #waiting: { due: number; chunk: Buffer }[] = []
	#timer: NodeJS.Timeout | undefined
	/** When the next chunk may pass, if there is a limit. */
	#free = 0
	#held = false
	#ended = false

	constructor(source: Socket, target: Socket) {
		this.#source = source
		this.#target = target
		source.on('data', (chunk: Buffer) => {
			this.#waiting.push({ due: performance.now() + this.delayMs, chunk })
			this.#pump()
		})
		source.on('end', () => {
			this.#ended = true
			this.#pump()
		})
		target.on('drain', () => this.#resume())
	}

	/** Stops reading and writing, or goes on where it stopped. */
	hold(on: boolean): void {
		this.#held = on
		if (on) this.#source.pause()
		else {
			this.#resume()
			this.#pump()
		}
	}

	/** Forgets what waits. */
	stop(): void {
		clearTimeout(this.#timer)
		this.#waiting.length = 0
	}

	#resume(): void {
		if (!this.#held) this.#source.resume()
	}

	#pump(): void {
		clearTimeout(this.#timer)
		if (this.#held || this.#target.destroyed) return
		for (let head = this.#waiting[0]; head; head = this.#waiting[0]) {
			const now = performance.now()
			const wait = Math.max(head.due, this.bytesPerSecond > 0 ? this.#free : 0) - now
			if (wait > 0) {
				this.#timer = setTimeout(() => this.#pump(), wait)
				// Otherwise the proxy takes everything in, and the sender does not notice.
				if (this.bytesPerSecond > 0) this.#source.pause()
				return
			}
			this.#waiting.shift()
			if (this.bytesPerSecond > 0) this.#free = now + (head.chunk.length / this.bytesPerSecond) * 1000
			if (!this.#target.write(head.chunk)) this.#source.pause()
			else if (this.#waiting.length === 0) this.#resume()
		}
		if (this.#ended) this.#target.end()
	}
}
