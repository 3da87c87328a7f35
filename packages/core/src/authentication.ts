import { inItsContext, outside } from './context.js'
import { EvUnavailableError } from './errors.js'
import { cookieOf, type RequestView } from './request.js'
import type { EvAuthenticationOptions, EvMessage, EvVerifyResult } from './types.js'

/** `true`, or what the client is told. */
export type Verdict = true | EvMessage

/** Asking again has taken too long. */
export type Late = 'late'

/** How long `verify` may take to answer `revalidate`, in ms: as long as the interval, within these bounds. */
const LATE_LEAST = 1_000
const LATE_MOST = 10_000

/** Stands before a stream that wants authentication. */
export class Authenticator {
	readonly #judge: () => Promise<Verdict>
	readonly #onError: (error: unknown) => void
	/** In ms: how often the request is judged again. */
	readonly revalidate: number | undefined
	/** Whether the client was let in: the first answer, for everybody who asks again. */
	answer: Promise<boolean> | undefined

	private constructor(
		judge: () => Promise<Verdict>,
		revalidate: number | undefined,
		onError: (error: unknown) => void,
	) {
		// `verify` runs for this request, also when a shared timer asks it again.
		this.#judge = inItsContext(judge)
		this.#onError = onError
		this.revalidate = revalidate
	}

	/** The authenticator that the options describe, if they describe one. */
	static of<Req>(
		options: EvAuthenticationOptions<Req> | undefined,
		request: RequestView<Req>,
		onError: (error: unknown) => void,
	): Authenticator | undefined {
		if (options === undefined) return undefined
		return new Authenticator(() => judge(options, request, onError), options.revalidate, onError)
	}

	/** Judges the request, as it is now. Never rejects. */
	judge(): Promise<Verdict> {
		return this.#judge()
	}

	/** Judges the request again, but does not wait for ever: a `verify` that hangs must not keep a client in. */
	async judgeAgain(interval: number): Promise<Verdict | Late> {
		const limit = Math.min(Math.max(interval, LATE_LEAST), LATE_MOST)
		let timer: NodeJS.Timeout | undefined
		const late = new Promise<Late>((resolve) => {
			timer = outside(setTimeout, () => resolve('late'), limit).unref()
		})
		const verdict = await Promise.race([this.#judge(), late])
		clearTimeout(timer)
		if (verdict === 'late') {
			this.#onError(
				new EvUnavailableError(
					`verify did not answer a revalidation within ${limit} ms. The stream was ended; the client will come back.`,
				),
			)
		}
		return verdict
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
