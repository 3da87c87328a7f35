import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import {
	createServer as createHttp2,
	createSecureServer as createHttp2s,
	type Http2ServerRequest,
	type Http2ServerResponse,
} from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testTls } from '@evstream/testkit'
import compression from 'compression'
import type { Request as ExpressRequest, Response as ExpressResponse } from 'express'
import type { EvRequest, EvResponse } from '../../src/index.js'
import type { TransportName } from './world.js'

export type NodeHandler = (req: EvRequest, res: EvResponse) => void
export type NodeTransportName = Exclude<TransportName, 'web'>

/**
 * One server for each transport, for all seeds. They listen on Unix sockets, which hold about 200 kB in the kernel
 * however fast they are used: TCP on loopback takes megabytes before a writer notices a client that does not read.
 */
export class Servers {
	/** Who answers a path. */
	readonly handlers: Map<string, NodeHandler> = new Map()
	readonly #folder = mkdtempSync(join(tmpdir(), 'oracle-'))
	readonly #servers = new Map<NodeTransportName, Promise<Server>>()
	readonly #sockets = new Set<Socket>()

	/** The path of the transport's server, which is started when it is first asked for. */
	async at(transport: NodeTransportName): Promise<string> {
		const path = join(this.#folder, transport)
		const started = this.#servers.get(transport) ?? this.#start(transport, path)
		this.#servers.set(transport, started)
		await started
		return path
	}

	async close(): Promise<void> {
		const servers = await Promise.all(this.#servers.values())
		for (const socket of this.#sockets) socket.destroy()
		await Promise.all(
			servers.map((server) => {
				const closed = once(server, 'close')
				server.close()
				return closed
			}),
		)
		rmSync(this.#folder, { recursive: true, force: true })
	}

	async #start(transport: NodeTransportName, path: string): Promise<Server> {
		const server = this.#make(transport)
		server.on('connection', (socket: Socket) => {
			this.#sockets.add(socket)
			socket.on('close', () => this.#sockets.delete(socket))
		})
		server.listen(path)
		await once(server, 'listening')
		return server
	}

	#make(transport: NodeTransportName): Server {
		const answer = (req: EvRequest, res: EvResponse): void => {
			const handler = this.handlers.get(req.url ?? '')
			if (handler !== undefined) handler(req, res)
			else {
				res.statusCode = 404
				res.end()
			}
		}
		switch (transport) {
			case 'https':
				return createHttps(testTls, answer)
			case 'h2c':
				return createHttp2((req: Http2ServerRequest, res: Http2ServerResponse) => answer(req, res))
			case 'h2':
				return createHttp2s(testTls, (req: Http2ServerRequest, res: Http2ServerResponse) => answer(req, res))
			case 'compressed': {
				const compress = compression({ threshold: 0, level: 1 })
				return createHttp((req: IncomingMessage, res: ServerResponse) => {
					// `no-transform` would keep the compressor out.
					res.setHeader('Cache-Control', 'no-cache')
					// It is typed for Express and works on what Node gives.
					compress(req as ExpressRequest, res as ExpressResponse, () => answer(req, res))
				})
			}
			default:
				return createHttp(answer)
		}
	}
}
