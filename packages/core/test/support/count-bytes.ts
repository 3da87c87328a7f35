import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'

/** What a client has got so far. */
export interface CountingClient {
	/** Bytes of the body. */
	readonly bytes: number
	/** The last few bytes. */
	readonly last: string
}

/** Opens a stream whose bytes are only counted: a thousand of them must not cost the test more than the library. */
export async function countBytes(url: string): Promise<CountingClient> {
	const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage]
	let bytes = 0
	let last = ''
	response.on('error', () => {})
	response.on('data', (part: Buffer) => {
		bytes += part.length
		last = part.subarray(-12).toString('latin1')
	})
	return {
		get bytes() {
			return bytes
		},
		get last() {
			return last
		},
	}
}
