/**
 * What an error has in common with those of other states and of later attempts: its code and its text without names in
 * quotes, keys and numbers.
 */
export function kindOf(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error)
	const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
	const plain = text
		.slice(0, 1000)
		// Up to the last quote: a name may hold quotes.
		.replace(/".*"/s, '""')
		.replace(/\{[^}]*\}:\S*/g, '{}')
		.replace(/\d+(\.\d+)?/g, '0')
	return `${String(code)} ${plain}`
}
