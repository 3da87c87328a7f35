/** One client connection: collects what it gets until that was verified, then only counts. */
import { CYCLE, MARK, MARK_LENGTH, NUMBER_AT, TIME_AT } from '../messages.js'

const HEAD_END = Buffer.from('\r\n\r\n')
const NEEDLE = Buffer.from(MARK)
const TILDE = 0x7e
const ZERO = 0x30

/** @import { Tally } from './tally.js' */
/** @import { Head } from './verify.js' */

export class Connection {
	/** Events since the last `reset`. */
	events = 0
	/** Events that were not the expected one. */
	disorder = 0
	ended = false
	hasHead = false
	/** @type {Head | undefined} The head, where it does not come as bytes before the body. */
	head
	slow
	/** @type {Buffer | undefined} Everything so far; `undefined` once it only counts. */
	captured = Buffer.alloc(0)
	/** @type {Buffer | undefined} The beginning of a mark whose rest has not come yet. */
	#tail
	#tally

	/**
	 * @param {Tally} tally
	 * @param {boolean} slow
	 */
	constructor(tally, slow) {
		this.#tally = tally
		this.slow = slow
	}

	reset() {
		this.events = 0
		this.disorder = 0
	}

	/** @param {Head} head The response began; only its body comes through `take`. */
	begin(head) {
		this.head = head
		this.hasHead = true
		this.#tally.head()
	}

	/** Bytes came in: what they hold arrived now. */
	arrive() {
		this.#tally.arrive()
	}

	/**
	 * Takes bytes from a buffer that is used again afterwards.
	 *
	 * @param {Uint8Array} bytes
	 * @returns {boolean} Whether to go on reading.
	 */
	take(bytes) {
		if (this.captured === undefined) {
			this.#count(bytes)
			return true
		}
		this.captured = Buffer.concat([this.captured, bytes])
		if (!this.hasHead && this.captured.includes(HEAD_END)) {
			this.hasHead = true
			this.#tally.head()
		}
		return !(this.slow && this.hasHead)
	}

	/** @param {Uint8Array} bytes */
	#count(bytes) {
		let data = bytes
		if (this.#tail !== undefined) {
			data = Buffer.concat([this.#tail, bytes])
			this.#tail = undefined
		}
		const tally = this.#tally
		const end = data.length
		let found = 0
		let at = find(data, 0)
		while (at !== -1) {
			if (at + MARK_LENGTH > end) {
				this.#tail = Buffer.from(data.subarray(at))
				break
			}
			if (digits(data, at + NUMBER_AT, 3) !== this.events % CYCLE) this.disorder++
			this.events++
			found++
			if (tally.timed) tally.latency(digits(data, at + TIME_AT, 16))
			at = find(data, at + MARK_LENGTH)
		}
		if (at === -1) this.#keepPartialNeedle(data)
		if (found > 0) tally.add(found)
	}

	/** @param {Uint8Array} data Without a whole needle after its last mark. */
	#keepPartialNeedle(data) {
		for (let i = Math.max(0, data.length - NEEDLE.length + 1); i < data.length; i++) {
			// A mark ends with a tilde too; as the first byte of a tail that is harmless, it matches no needle.
			if (data[i] === TILDE) {
				this.#tail = Buffer.from(data.subarray(i))
				return
			}
		}
	}
}

/**
 * Where the next mark begins, or -1. A chunk of a web response may be a `Uint8Array` that is no `Buffer`, which must
 * not cost its contender a conversion.
 *
 * @param {Uint8Array} data
 * @param {number} from
 * @returns {number}
 */
function find(data, from) {
	return Buffer.prototype.indexOf.call(data, NEEDLE, from)
}

/**
 * @param {Uint8Array} data
 * @param {number} from
 * @param {number} length
 */
function digits(data, from, length) {
	let value = 0
	for (let i = from; i < from + length; i++) value = value * 10 + /** @type {number} */ (data[i]) - ZERO
	return value
}
