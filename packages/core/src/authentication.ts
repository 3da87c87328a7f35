import { cookieOf, type RequestView } from './request.js'
import type { EvAuthenticationOptions, EvMessage, EvVerifyResult } from './types.js'

/** `true`, or what the client is told. */
export type Verdict = true | EvMessage

/** Stands before a stream that wants authentication. */
export class Gate {
	readonly #judge: () => Promise<Verdict>
	/** In ms: how often the request is judged again. */
	readonly revalidate: number | undefined
	/** Whether the client was let in: the first answer, for everybody who asks again. */
	answer: Promise<boolean> | undefined

	private constructor(judge: () => Promise<Verdict>, revalidate: number | undefined) {
		this.#judge = judge
		this.revalidate = revalidate
	}

	/** The gate that the options describe, if they describe one. */
	static of<Req>(
		options: EvAuthenticationOptions<Req> | undefined,
		request: RequestView<Req>,
		onError: (error: unknown) => void,
	): Gate | undefined {
		if (options === undefined) return undefined
		return new Gate(() => judge(options, request, onError), options.revalidate)
	}

	/** Judges the request, as it is now. Never rejects. */
	judge(): Promise<Verdict> {
		return this.#judge()
	}
}

const REJECTED: EvMessage = {
	event: 'error',
	data: { code: 'EV_NOT_AUTHENTICATED', message: 'Authentication failed.' },
}

/**
 * Judges the request. Fails closed: only exactly `true` from `verify` lets the client in, and nothing of an error
 * that `verify` throws reaches the client.
 */
async function judge<Req>(
	options: EvAuthenticationOptions<Req>,
	request: RequestView<Req>,
	onError: (error: unknown) => void,
): Promise<Verdict> {
	let result: EvVerifyResult
	try {
		if (options.method === 'custom') {
			result = await options.verify(request.raw)
		} else {
			const token = tokenOf(options, request)
			result = token === undefined ? false : await options.verify(token, request.raw)
		}
	} catch (error) {
		onError(error)
		return REJECTED
	}
	if (result === true) return true
	return typeof result === 'object' && result !== null ? result : REJECTED
}

/** The token, if there is exactly one: an empty one is none, and of two in a query nobody can say which is meant. */
function tokenOf<Req>(
	options: Exclude<EvAuthenticationOptions<Req>, { method: 'custom' }>,
	request: RequestView<Req>,
): string | undefined {
	switch (options.method) {
		case 'header': {
			const value = request.header(options.param ?? 'authorization')
			return value?.replace(/^Bearer(?: +|$)/i, '').trim() || undefined
		}
		case 'cookie':
			return cookieOf(request.header('cookie'), options.param) || undefined
		default: {
			const values = request.query(options.param)
			return values.length === 1 ? values[0] || undefined : undefined
		}
	}
}
