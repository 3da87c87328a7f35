/** The cases, in the order they run and are listed. */
import { burst } from './burst.js'
import { connect } from './connect.js'
import { fanout } from './fanout.js'
import { hold } from './hold.js'
import { http2 } from './http2.js'
import { https } from './https.js'
import { idle } from './idle.js'
import { latency } from './latency.js'
import { objects } from './objects.js'
import { reconnect } from './reconnect.js'
import { redis } from './redis.js'
import { slow } from './slow.js'
import { state } from './state.js'
import { stream } from './stream.js'
import { web } from './web.js'

/** @type {readonly import('../types.js').Case[]} */
export const cases = [
	fanout,
	burst,
	objects,
	https,
	http2,
	web,
	latency,
	stream,
	idle,
	connect,
	slow,
	hold,
	reconnect,
	state,
	redis,
]
