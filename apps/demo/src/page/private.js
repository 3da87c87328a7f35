// A stream with authentication: what a browser does with a 401.

import { byId } from './page.js'

const state = byId('private-state')
let source

function connect(token) {
	source?.close()
	source = new EventSource(`private?token=${encodeURIComponent(token)}`)
	show('connecting', 'connecting')
	source.addEventListener('welcome', ({ data }) => show('open', `open: ${data}`))
	source.addEventListener('error', () => {
		if (source.readyState === EventSource.CLOSED) show('closed', 'closed: the browser will not try again')
		else show('connecting', 'cut off: the browser tries again')
	})
}

function show(name, text) {
	state.dataset.state = name
	state.textContent = text
}

byId('wrong').addEventListener('click', () => connect('guess'))
byId('right').addEventListener('click', () => connect('open-sesame'))
