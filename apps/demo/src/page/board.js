// The message board: the form, and the posts as the stream brings them.

import { byId, element } from './page.js'

/** More posts than this are not kept on the page. */
const MOST = 200

const posts = byId('posts')
const form = byId('post')

export function addPost({ name, text, at }) {
	const item = document.createElement('li')
	const date = new Date(at)
	const time = element('time', '', date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }))
	time.dateTime = date.toISOString()
	item.append(element('b', '', name), time, element('p', '', text))
	posts.prepend(item)
	while (posts.children.length > MOST) posts.lastChild.remove()
	byId('empty').hidden = true
}

export function clearBoard() {
	posts.replaceChildren()
	byId('empty').hidden = false
}

/** A sentence under the form. */
export function notice(text) {
	byId('problem').textContent = text
}

// Not shown before the stream brings it back: what you see is what everybody sees.
form.addEventListener('submit', async (event) => {
	event.preventDefault()
	notice('')
	const { name, text } = form.elements
	const button = form.querySelector('button')
	button.disabled = true
	try {
		const answer = await fetch('board', {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ name: name.value, text: text.value }),
		})
		if (answer.ok) text.value = ''
		else notice((await answer.json()).error)
	} catch {
		notice('The server could not be reached. The message is still here: try again.')
	}
	button.disabled = false
	text.focus()
})
