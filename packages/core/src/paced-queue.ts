/** The most bytes handed over at a time: what a client takes of a large message shows piece by piece. */
const PIECE = 16_384

/**
 * Hands bytes to a sink at the pace at which it drains. A sink that is above its high-water mark gets nothing more
 * until it says that it has drained; until then bytes wait here. They are views on frames that all listeners share.
 *
 * Where Node or the consumer of a web stream only tells about whole writes, this makes progress visible: of one large
 * message, every piece.
 */
export class PacedQueue {
	/** Bytes that wait here. */
	waiting = 0
	/** Bytes handed over since the sink last drained, while it is above its high-water mark. */
	inFlight = 0
	/** Bytes handed over in all. */
	written = 0
	#paused = false
	#queue: Buffer[] = []
	/** Index of the first buffer that waits, and how much of it has been handed over. */
	#first = 0
	#offset = 0
	readonly #sink: (bytes: Buffer) => boolean

	/** `sink` takes the bytes in any case, and returns `false` to ask for a pause until `drained`. */
	constructor(sink: (bytes: Buffer) => boolean) {
		this.#sink = sink
	}

	/** The sink asked to pause. */
	get paused(): boolean {
		return this.#paused
	}

	/** Hands over what the sink takes now, and keeps the rest. */
	write(bytes: Buffer): void {
		if (this.#paused) this.#queue.push(bytes)
		else if (bytes.length <= PIECE) {
			this.#hand(bytes)
			return
		} else this.#queue.push(bytes)
		this.waiting += bytes.length
		if (!this.#paused) this.#feed()
	}

	/** The sink takes bytes again. */
	drained(): void {
		this.#paused = false
		this.inFlight = 0
		this.#feed()
	}

	/** Drops what waits. */
	clear(): void {
		this.#queue = []
		this.#first = 0
		this.#offset = 0
		this.waiting = 0
	}

	#feed(): void {
		while (!this.#paused) {
			const bytes = this.#queue[this.#first]
			if (bytes === undefined) break
			const end = Math.min(this.#offset + PIECE, bytes.length)
			const piece = this.#offset === 0 && end === bytes.length ? bytes : bytes.subarray(this.#offset, end)
			this.#offset = end
			this.waiting -= piece.length
			if (end === bytes.length) this.#shift()
			this.#hand(piece)
		}
	}

	#shift(): void {
		this.#offset = 0
		this.#first++
		if (this.#first === this.#queue.length) this.clear()
		// Moved only when half of the array is dead, so that taking one out costs a constant amount on average.
		else if (this.#first > 64 && this.#first * 2 > this.#queue.length) {
			this.#queue = this.#queue.slice(this.#first)
			this.#first = 0
		}
	}

	#hand(bytes: Buffer): void {
		this.written += bytes.length
		this.inFlight += bytes.length
		if (this.#sink(bytes)) this.inFlight = 0
		else this.#paused = true
	}
}
