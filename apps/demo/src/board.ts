import type { Post } from './channels.js'

/** The longest name and text the board takes, in UTF-16 units, as the page's `maxlength` counts them. */
export const LIMITS = { name: 40, text: 280 } as const

/** A post, or what is wrong with it as a sentence for the person who wrote it. */
export type ReadPost = { readonly post: Post } | { readonly problem: string }

/** Makes a post of a request body. Nothing of the body gets further than this unchecked. */
export function readPost(body: unknown): ReadPost {
	if (typeof body !== 'object' || body === null) return { problem: 'Send JSON: { "name", "text" }.' }
	const { name, text } = body as Record<string, unknown>
	const problem = check('name', name) ?? check('text', text)
	if (problem !== undefined) return { problem }
	return { post: { name: String(name).trim(), text: String(text).trim(), at: Date.now() } }
}

function check(field: keyof typeof LIMITS, value: unknown): string | undefined {
	if (typeof value !== 'string') return `The ${field} must be a string.`
	if (value.trim() === '') return `The ${field} is empty.`
	if (value.trim().length > LIMITS[field]) return `The ${field} is longer than ${LIMITS[field]} characters.`
	return undefined
}
