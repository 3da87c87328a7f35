/** Clients that come back all at once, each on a plain socket. */
import { connect } from 'node:net'
import { now } from '../clock.js'
import { Connection } from '../load/connection.js'
import { Tally } from '../load/tally.js'
import { answer } from '../rpc.js'

/** Connections without an answer at a time: more than a system lets wait would be tried again after a second. */
const OPENING = 1000

const shared = Buffer.allocUnsafe(256 * 1024)
const tally = new Tally(() => {})

/**
 * @param {number} port
 * @param {string} lastEventId
 * @param {number} missed
 * @returns {{ begun: Promise<void>, done: Promise<void>, connection: Connection }} `begun`: the response began;
 * `done`: all that was missed is here.
 */
function open(port, lastEventId, missed) {
	const connection = new Connection(tally, false)
	connection.captured = undefined
	/** @type {() => void} */
	let begin = () => {}
	/** @type {() => void} */
	let finish = () => {}
	/** @type {(error: Error) => void} */
	let fail = () => {}
	/** @type {Promise<void>} */
	const begun = new Promise((resolve) => {
		begin = resolve
	})
	/** @type {Promise<void>} */
	const done = new Promise((resolve, reject) => {
		finish = resolve
		fail = reject
	})
	const socket = connect({
		host: '127.0.0.1',
		port,
		onread: {
			buffer: shared,
			callback(length) {
				connection.take(shared.subarray(0, length))
				begin()
				if (connection.events >= missed) finish()
				return true
			},
		},
	})
	socket.on('error', (error) => {
		begin()
		fail(error)
	})
	socket.on('close', () => {
		begin()
		fail(new Error('the server ended a connection'))
	})
	const id = lastEventId === '' ? '' : `Last-Event-ID: ${lastEventId}\r\n`
	socket.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n${id}\r\n`)
	return { begun, done, connection }
}

answer({
	/**
	 * @param {{ port: number, count: number, lastEventId: string, missed: number }} plan
	 * @returns {Promise<{ p50: number, p99: number, max: number }>} Ms since all began to come back.
	 */
	async comeBack({ port, count, lastEventId, missed }) {
		const began = now()
		/** @type {number[]} */
		const times = []
		/** @type {Promise<void>[]} */
		const all = []
		/** @type {Connection[]} */
		const connections = []
		let left = count
		async function lane() {
			while (left-- > 0) {
				const { begun, done, connection } = open(port, lastEventId, missed)
				connections.push(connection)
				all.push(done.then(() => void times.push((now() - began) / 1000)))
				await begun
			}
		}
		await Promise.all(Array.from({ length: OPENING }, lane))
		await Promise.all(all)
		const wrong = connections.filter(({ events, disorder }) => events !== missed || disorder > 0).length
		if (wrong > 0) throw new Error(`${wrong} clients did not get the ${missed} messages once and in order`)
		times.sort((a, b) => a - b)
		/** @param {number} share */
		const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN
		return { p50: at(0.5), p99: at(0.99), max: at(1) }
	},
})
