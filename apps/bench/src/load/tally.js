/** What all connections count together, and the acknowledgements that follow from it. */
import { now } from '../clock.js'

/** Bucket width and number of the latency histogram: up to 20 s, 10 µs wide. */
const BUCKET_US = 10
const BUCKETS = 2_000_000

export class Tally {
	timed = false
	#events = 0
	#heads = 0
	#acked = 0
	#ackUnit = Number.POSITIVE_INFINITY
	#arrival = 0
	#max = 0
	#histogram = new Uint32Array(BUCKETS)
	/** @type {(acks: number) => void} */
	#acknowledge

	/** @param {(acks: number) => void} acknowledge */
	constructor(acknowledge) {
		this.#acknowledge = acknowledge
	}

	get events() {
		return this.#events
	}

	/** Responses that began. */
	get heads() {
		return this.#heads
	}

	head() {
		this.#heads++
	}

	/**
	 * @param {number} ackUnit Events per acknowledgement.
	 * @param {boolean} timed
	 */
	reset(ackUnit, timed) {
		this.timed = timed
		this.#events = 0
		this.#acked = 0
		this.#ackUnit = ackUnit
		this.#max = 0
		this.#histogram.fill(0)
	}

	/** Bytes came in: what they hold arrived now. */
	arrive() {
		if (this.timed) this.#arrival = now()
	}

	/** @param {number} sentAt */
	latency(sentAt) {
		const us = Math.max(0, this.#arrival - sentAt)
		const bucket = Math.min(BUCKETS - 1, Math.floor(us / BUCKET_US))
		this.#histogram[bucket] = /** @type {number} */ (this.#histogram[bucket]) + 1
		if (us > this.#max) this.#max = us
	}

	/** @param {number} events */
	add(events) {
		this.#events += events
		const acks = Math.floor(this.#events / this.#ackUnit)
		if (acks > this.#acked) {
			this.#acknowledge(acks - this.#acked)
			this.#acked = acks
		}
	}

	get maxMs() {
		return this.#max / 1000
	}

	/**
	 * @param {number} share Between 0 and 1.
	 * @returns {number} ms; 0 if nothing was timed.
	 */
	percentileMs(share) {
		let total = 0
		for (const count of this.#histogram) total += count
		let left = total * share
		for (let i = 0; total > 0 && i < BUCKETS; i++) {
			left -= /** @type {number} */ (this.#histogram[i])
			if (left <= 0) return ((i + 0.5) * BUCKET_US) / 1000
		}
		return 0
	}
}
