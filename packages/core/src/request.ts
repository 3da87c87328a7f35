import type { EvRequest } from './types.js'

/** What is asked of a request, the same for Node and the web. */
export interface RequestView<Req = unknown> {
	/** The request as the app knows it. */
	readonly raw: Req
	/** The value of a header; Node gives repeated ones joined or the first. */
	header(name: string): string | undefined
	/** All values of a query parameter. */
	query(name: string): string[]
}

/** A Node request (HTTP/1 or HTTP/2). */
export class NodeRequest<Req extends EvRequest = EvRequest> implements RequestView<Req> {
	constructor(readonly raw: Req) {}

	header(name: string): string | undefined {
		const value = this.raw.headers[name.toLowerCase()]
		return Array.isArray(value) ? value.join(', ') : value
	}

	query(name: string): string[] {
		return queryOf(this.raw.url, name)
	}
}

/** A web request. */
export class WebRequest implements RequestView<Request> {
	constructor(readonly raw: Request) {}

	header(name: string): string | undefined {
		return this.raw.headers.get(name) ?? undefined
	}

	query(name: string): string[] {
		return queryOf(this.raw.url, name)
	}
}

/** The value of a cookie, the first one of that name: browsers send the one with the most specific path first. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
	for (const pair of header?.split(';') ?? []) {
		const at = pair.indexOf('=')
		if (at < 0 || pair.slice(0, at).trim() !== name) continue
		const value = pair
			.slice(at + 1)
			.trim()
			.replace(/^"(.*)"$/, '$1')
		try {
			return decodeURIComponent(value)
		} catch {
			return value
		}
	}
	return undefined
}

/**
 * The id of the last event the client has seen: from the header or, for polyfills and first connects, from the
 * query parameter `lastEventId`.
 *
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header}
 */
export function lastEventIdOf(request: RequestView): string | undefined {
	const header = request.header('last-event-id')
	// Browsers send UTF-8, HTTP libraries read header bytes as latin1 (nodejs/node#17390).
	if (header) return Buffer.from(header, 'latin1').toString('utf8')
	return request.query('lastEventId')[0] || undefined
}

function queryOf(url: string | undefined, name: string): string[] {
	const at = url?.indexOf('?') ?? -1
	if (url === undefined || at < 0) return []
	const hash = url.indexOf('#', at)
	return new URLSearchParams(url.slice(at + 1, hash < 0 ? undefined : hash)).getAll(name)
}
