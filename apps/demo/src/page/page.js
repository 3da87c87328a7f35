/** The element with that id. */
export const byId = (id) => document.getElementById(id)

/** A new element with text in it. Text, never markup: posts come from strangers. */
export function element(tag, className, text) {
	const made = document.createElement(tag)
	made.className = className
	made.textContent = text
	return made
}
