import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Link, Listener } from './links.js'

/** Asks for a response that does not end and, on the same connection, for the stream, which has to wait behind it. */
export function dialPipelined(at: string, held: string, path: string, to: Listener): Link {
	const socket = connect(at)
	socket.write(request(held) + request(path))
	socket.on('close', () => to.onOver(false))
	return linkOf(socket)
}

/** Asks for a response without a body, and keeps the connection. */
export function dialForHead(at: string, tls: boolean, path: string, to: Listener): Link {
	const socket = tls ? connectTls({ path: at, rejectUnauthorized: false }) : connect(at)
	socket.write(request(path))
	let text = ''
	socket.on('data', (bytes: Uint8Array) => {
		text += Buffer.from(bytes).toString('latin1')
		const status = /^HTTP\/1.1 (\d+)[\s\S]*\r\n\r\n/.exec(text)?.[1]
		if (status === undefined) return
		to.onHead(Number(status))
		to.onOver(true)
	})
	socket.on('close', () => to.onOver(false))
	return linkOf(socket)
}

function request(path: string): string {
	return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
}

function linkOf(socket: Socket): Link {
	socket.on('error', () => {})
	return {
		pause() {},
		resume() {},
		cut: () => void socket.destroy(),
	}
}
