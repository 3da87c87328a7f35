import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { ProxyFlow } from './proxy-flow.js'

/** Where a proxy leads to. */
export interface TcpTarget {
	host: string
	port: number
}

/** A TCP proxy that breaks on demand. */
export interface TcpProxy {
	/** The loopback port it listens on. */
	readonly port: number
	/** How many client connections are open. */
	readonly connections: number
	/** `redis://127.0.0.1:port`, or the same with another scheme. */
	url(scheme?: string): string
	/** Destroys all current connections, on both sides. */
	cut(): void
	/** `true`: closes new connections at once. Current ones stay. */
	refuse(on: boolean): void
	/** Delays every chunk in both directions by so many milliseconds; the order stays. */
	delay(ms: number): void
	/** Lets so many bytes a second pass in each direction of each connection; 0: all. */
	limit(bytesPerSecond: number): void
	/** `true`: connections are accepted and kept, but nothing passes in either direction, not even an end.
	 * `false`: what was held flows on. */
	blackhole(on: boolean): void
	/**
	 * Makes the newest `count` connections (all without it) half-open: they stay, but nothing passes any more, as
	 * when a NAT forgot them. New connections work. `blackhole(false)` lets them flow again.
	 */
	freeze(count?: number): void
	/** Destroys everything and stops listening. */
	close(): Promise<void>
}

interface Link {
	readonly client: Socket
	readonly upstream: Socket
	readonly flows: readonly ProxyFlow[]
	held: boolean
}

/** Starts a proxy in front of `target` on a free loopback port. */
export async function startTcpProxy(target: TcpTarget): Promise<TcpProxy> {
	const links = new Set<Link>()
	let refusing = false
	let held = false
	let delayMs = 0
	let rate = 0

	const server = createServer((client) => {
		if (refusing) {
			client.destroy()
			return
		}
		const upstream = connect(target)
		const flows = [new ProxyFlow(client, upstream), new ProxyFlow(upstream, client)]
		for (const flow of flows) {
			flow.delayMs = delayMs
			flow.bytesPerSecond = rate
			flow.hold(held)
		}
		const link: Link = { client, upstream, flows, held }
		links.add(link)
		for (const socket of [client, upstream]) {
			socket.setNoDelay(true)
			socket.on('error', () => socket.destroy())
			socket.on('close', (hadError) => {
				// A black hole keeps the far side open: nobody tells it that its peer is gone.
				if (link.held) return
				// After a clean end the flow ends the far side once it passed on what it still has.
				if (hadError || (client.destroyed && upstream.destroyed)) cut(link)
			})
		}
	})

	function cut(link: Link): void {
		links.delete(link)
		for (const flow of link.flows) flow.stop()
		link.client.destroy()
		link.upstream.destroy()
	}

	function hold(link: Link, on: boolean): void {
		link.held = on
		for (const flow of link.flows) flow.hold(on)
		if (!on && (link.client.destroyed || link.upstream.destroyed)) cut(link)
	}

	function cutAll(): void {
		for (const link of links) cut(link)
	}

	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	// A TCP server that listens has an AddressInfo; only pipes have a string.
	const { port } = server.address() as AddressInfo

	return {
		port,
		get connections() {
			return links.size
		},
		url: (scheme = 'redis') => `${scheme}://127.0.0.1:${port}`,
		cut: cutAll,
		refuse(on) {
			refusing = on
		},
		delay(ms) {
			delayMs = ms
			for (const link of links) for (const flow of link.flows) flow.delayMs = ms
		},
		limit(bytesPerSecond) {
			rate = bytesPerSecond
			for (const link of links) for (const flow of link.flows) flow.bytesPerSecond = rate
		},
		blackhole(on) {
			held = on
			for (const link of links) hold(link, on)
		},
		freeze(count = links.size) {
			for (const link of [...links].reverse().slice(0, count)) hold(link, true)
		},
		async close() {
			cutAll()
			if (!server.listening) return
			server.close()
			await once(server, 'close')
		},
	}
}
