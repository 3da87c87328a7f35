/** A message on the wire: who sent it, as which of its messages. */
export interface Envelope {
	from: string
	/** From 1, counted per sender. */
	seq: number
	message: unknown
}

/** @throws TypeError if JSON cannot carry the message. */
export function encode(envelope: Envelope): string {
	let message: string | undefined
	try {
		message = JSON.stringify(envelope.message)
	} catch (error) {
		throw new TypeError(`JSON cannot carry this message: ${String(error)}`, { cause: error })
	}
	if (message === undefined) throw new TypeError(`JSON cannot carry ${typeof envelope.message}`)
	return `{"from":${JSON.stringify(envelope.from)},"seq":${envelope.seq},"message":${message}}`
}

/** @throws TypeError if the payload is no envelope. */
export function decode(payload: string): Envelope {
	let value: unknown
	try {
		value = JSON.parse(payload)
	} catch (error) {
		throw new TypeError(`A payload that is not JSON was skipped: ${payload.slice(0, 80)}`, { cause: error })
	}
	if (!isEnvelope(value))
		throw new TypeError(`A payload of unknown form was skipped: ${payload.slice(0, 80)}`)
	return value
}

function isEnvelope(value: unknown): value is Envelope {
	return (
		typeof value === 'object' &&
		value !== null &&
		'message' in value &&
		'from' in value &&
		typeof value.from === 'string' &&
		'seq' in value &&
		typeof value.seq === 'number'
	)
}
