/** The load client process: many plain sockets, as little work per event as possible. */
import { connect as openSocket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../clock.js'
import { answer } from '../rpc.js'
import { Connection } from './connection.js'
import { Tally } from './tally.js'
import { fault } from './verify.js'

/** @import { LoadReport, RunPlan } from '../types.js' */

const REQUEST = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n'
/** Connections being opened at a time. */
const OPENING = 64
/** Connections from one loopback address; a system has about 16,000 to 28,000 ports for them. */
const PER_ADDRESS = 12_000
const CONNECT_MS = 60_000
const VERIFY_MS = 20_000

/** Every socket reads into this one: what is in it is used up before the next read. */
const shared = Buffer.allocUnsafe(256 * 1024)
/** @type {Connection[]} */
const connections = []
let port = 0
/** @type {import('node:net').Socket} */
let acks
const tally = new Tally((count) => acks.write(Buffer.alloc(count)))
let started = 0
let cpuBefore = process.cpuUsage()

/**
 * @param {boolean} slow
 * @returns {Promise<void>} Resolves when the response began.
 */
function open(slow) {
	const connection = new Connection(tally, slow)
	const address = 1 + Math.floor(connections.length / PER_ADDRESS)
	connections.push(connection)
	return new Promise((resolve, reject) => {
		const socket = openSocket({
			host: '127.0.0.1',
			port,
			...(address > 1 ? { localAddress: `127.0.0.${address}` } : {}),
			onread: {
				buffer: shared,
				callback(length) {
					tally.arrive()
					const goOn = connection.take(shared.subarray(0, length))
					if (connection.hasHead) resolve()
					return goOn
				},
			},
		})
		socket.on('error', reject)
		socket.on('close', () => {
			connection.ended = true
			reject(new Error('the server ended a connection before its head'))
		})
		socket.write(REQUEST)
	})
}

const reading = () => connections.filter((connection) => !connection.slow)

answer({
	/** @param {{ port: number, ackPort: number }} ports */
	start(ports) {
		port = ports.port
		acks = openSocket({ host: '127.0.0.1', port: ports.ackPort, noDelay: true })
		return new Promise((resolve, reject) => {
			acks.on('connect', () => resolve(undefined))
			acks.on('error', reject)
		})
	},

	/** @param {{ count: number, slow: boolean }} args */
	async connect({ count, slow }) {
		let left = count
		const wanted = tally.heads + count
		async function lane() {
			while (left-- > 0) await open(slow)
		}
		const timeout = AbortSignal.timeout(CONNECT_MS)
		await Promise.race([
			Promise.all(Array.from({ length: OPENING }, lane)),
			new Promise((_, reject) => {
				timeout.addEventListener('abort', () => {
					reject(new Error(`${wanted - tally.heads} of ${count} connections got no head`))
				})
			}),
		])
	},

	/** @param {unknown} expected */
	async verify(expected) {
		const deadline = now() + VERIFY_MS * 1000
		for (;;) {
			let reason
			for (const connection of reading()) {
				if (connection.captured === undefined) continue
				reason = fault(connection.captured, expected)
				if (reason !== undefined) break
				connection.captured = undefined
			}
			if (reason === undefined) return
			if (now() > deadline) throw new Error(`verification: ${reason}`)
			await sleep(20)
		}
	},

	/** @param {RunPlan} plan */
	expect(plan) {
		for (const connection of connections) connection.reset()
		tally.reset(plan.ackEvery * plan.clients, plan.timed === true)
		globalThis.gc?.()
		started = now()
		cpuBefore = process.cpuUsage()
	},

	/** @returns {LoadReport} */
	report() {
		const cpu = process.cpuUsage(cpuBefore)
		const wallMs = (now() - started) / 1000
		const all = reading()
		return {
			events: tally.events,
			least: all.reduce((least, { events }) => Math.min(least, events), Number.POSITIVE_INFINITY),
			most: all.reduce((most, { events }) => Math.max(most, events), 0),
			disorder: all.reduce((sum, { disorder }) => sum + disorder, 0),
			ended: all.filter(({ ended }) => ended).length,
			p50: tally.percentileMs(0.5),
			p99: tally.percentileMs(0.99),
			max: tally.maxMs,
			cpu,
			wallMs,
		}
	},
})
