// The page's own stream: native EventSource, no library.

import { addPost, clearBoard, notice } from './board.js'
import { showFrames } from './frames.js'
import { byId } from './page.js'
import './private.js'

/** Names this tab to the server, so that "drop" reaches its streams and no other. */
const tab = [...crypto.getRandomValues(new Uint8Array(8))]
	.map((n) => n.toString(16).padStart(2, '0'))
	.join('')

let source
let instance
let opened = 0

function connect() {
	source = new EventSource(`events?tab=${tab}`)
	show('connecting')
	byId('connect').hidden = true

	source.addEventListener('open', () => {
		show('open')
		byId('reconnects').textContent = String(opened++)
	})
	source.addEventListener('error', () => {
		// CONNECTING: the browser is about to try again. CLOSED: it was told not to, by a status that is not 200.
		const closed = source.readyState === EventSource.CLOSED
		show(closed ? 'closed' : 'connecting')
		byId('connect').hidden = !closed
	})

	on('hello', ({ instance: name, canKill }) => {
		instance = name
		byId('instance').textContent = `instance ${name}`
		byId('kill').hidden = !canKill
		showFrames(`events?frames&tab=${tab}`, name)
	})
	on('clock', ({ now }) => {
		const date = new Date(now)
		byId('clock').dateTime = date.toISOString()
		byId('clock').textContent = date.toLocaleTimeString('en-GB')
	})
	on('viewers', ({ instances }) => {
		const all = Object.entries(instances).sort(([a], [b]) => a.localeCompare(b))
		byId('viewers').textContent = String(all.reduce((sum, [, { streams }]) => sum + streams, 0))
		byId('viewers-by-instance').textContent =
			all.length > 1 ? all.map(([name, { streams }]) => `${streams} on instance ${name}`).join(', ') : ''
	})
	on('board', addPost)
	// The server cannot say what was missed: forget the board and load it as a newcomer does.
	on('reset', ({ reason }) => {
		clearBoard()
		notice(`The server could not resume here (${reason}), so the board was loaded again.`)
		source.close()
		connect()
	})
	// The position a new stream begins at: it carries nothing but its id.
	source.addEventListener('position', showId)
}

function on(event, handle) {
	source.addEventListener(event, (message) => {
		showId(message)
		handle(JSON.parse(message.data))
	})
}

function showId({ lastEventId }) {
	byId('last-event-id').textContent = lastEventId || '–'
}

function show(state) {
	byId('state').dataset.state = state
	byId('state').textContent = state === 'connecting' && opened > 0 ? 'reconnecting' : state
}

/** To the instance that serves this tab: a proxy with several of them reads the header. */
function tell(path) {
	const headers = { 'content-type': 'application/json', 'x-instance': instance ?? '' }
	// An answer may never come: that is what the buttons are for. What happened shows in the stream.
	fetch(path, { method: 'POST', headers, body: JSON.stringify({ tab }) }).catch(() => undefined)
}

byId('drop').addEventListener('click', () => tell('drop'))
byId('kill').addEventListener('click', () => tell('kill'))
byId('connect').addEventListener('click', connect)
connect()
