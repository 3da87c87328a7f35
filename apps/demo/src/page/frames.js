// The bytes of a stream, read with fetch because EventSource does not show them. One reader per visible tab: browsers
// allow a handful of HTTP/1.1 connections per site, and hidden tabs keep theirs for their EventSource.

import { byId, element } from './page.js'

/** More lines than this are not kept on the page. */
const MOST = 200

const frames = byId('frames')
const pause = byId('pause')

let wanted
let reading
// What an EventSource remembers: where the stream stands, and how long to wait before coming back, in ms.
let lastId = ''
let retry = 3_000

/** Reads `url`, from the instance that serves the page, for as long as the tab is visible and not paused. */
export function showFrames(url, instance) {
	wanted = { url, instance }
	start()
}

function start() {
	const awake = document.visibilityState === 'visible' && pause.ariaPressed === 'false'
	if (!awake) {
		reading?.abort()
		reading = undefined
	} else if (wanted && !reading) {
		reading = new AbortController()
		void keepReading(reading.signal)
	}
}

async function keepReading(signal) {
	while (!signal.aborted) {
		const { url, instance } = wanted
		const from = lastId === '' ? url : `${url}&lastEventId=${encodeURIComponent(lastId)}`
		add('note', `GET /${from}`)
		try {
			const answer = await fetch(from, { signal, cache: 'no-store', headers: { 'x-instance': instance } })
			add('note', `${answer.status} ${answer.statusText} ${answer.headers.get('content-type')}`)
			await read(answer.body)
			if (!signal.aborted) add('note', 'ended by the server')
		} catch {
			if (!signal.aborted) add('note', 'cut off')
		}
		if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, retry))
	}
}

async function read(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader()
	let rest = ''
	for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
		const lines = (rest + value).split('\n')
		rest = lines.pop()
		for (const line of lines) {
			if (line.startsWith('id:')) lastId = line.slice(3)
			if (line.startsWith('retry:')) retry = Number(line.slice(6))
			add('line', line)
		}
	}
}

function add(kind, text) {
	const atEnd = frames.scrollHeight - frames.scrollTop - frames.clientHeight < 40
	const line = element('span', kind, '')
	const colon = kind === 'line' ? text.indexOf(':') : -1
	if (colon === -1) line.textContent = text
	else line.append(element('b', '', text.slice(0, colon)), text.slice(colon))
	frames.append(line, '\n')
	while (frames.childNodes.length > 2 * MOST) frames.firstChild.remove()
	// Follow the newest line unless the reader has scrolled away from it.
	if (atEnd) frames.scrollTop = frames.scrollHeight
}

pause.addEventListener('click', () => {
	const paused = pause.ariaPressed === 'false'
	pause.ariaPressed = String(paused)
	if (paused) add('note', 'paused')
	start()
})
document.addEventListener('visibilitychange', start)
