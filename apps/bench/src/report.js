/** A result as a table: the same figures for the terminal and for the docs. */
import { median } from './stats.js'
import { limit, verdicts } from './targets.js'

/** @import { CaseResult } from './results.js' */
/** @import { Case, Metric } from './types.js' */

const SECOND = 'better-sse'

/**
 * @param {Case} one
 * @param {CaseResult} result
 * @returns {string[][]} The head first.
 */
export function rows(one, result) {
	/**
	 * @param {string} name
	 * @param {Metric} metric
	 */
	const value = (name, metric) => {
		const runs = result.contenders[name]?.runs ?? []
		return runs.length === 0 ? undefined : median(runs.map((run) => run[metric.key] ?? Number.NaN))
	}
	const references = [...new Set([one.baseline, SECOND])].filter((name) => one.contenders.includes(name))
	const head = ['contender']
	for (const metric of one.metrics) {
		head.push(metric.label)
		if (metric.ratio) head.push(...references.map((name) => `× ${name}`))
	}
	const body = Object.entries(result.contenders).map(([name, { version, runs, failures }]) => {
		const row = [version === null || name.startsWith('evstream') ? name : `${name} ${version}`]
		for (const metric of one.metrics) {
			const own = value(name, metric)
			if (own === undefined || failures.length > 0) row.push('failed')
			else row.push(Number.isNaN(own) ? '–' : own.toFixed(metric.digits))
			if (!metric.ratio) continue
			for (const reference of references) {
				const other = value(reference, metric)
				row.push(
					runs.length === 0 || failures.length > 0 || own === undefined || !other
						? '–'
						: (own / other).toFixed(2),
				)
			}
		}
		return row
	})
	return [head, ...body]
}

/**
 * @param {readonly string[][]} table
 * @returns {readonly string[][]} With every cell as wide as its column: the first to the left, the others to the right.
 */
function padded(table) {
	const widths = (table[0] ?? []).map((_, i) => Math.max(3, ...table.map((row) => (row[i] ?? '').length)))
	return table.map((row) =>
		row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))),
	)
}

/**
 * @param {readonly string[][]} table
 * @returns {string} Aligned with spaces.
 */
export function aligned(table) {
	return padded(table)
		.map((row) => row.join('  '))
		.join('\n')
}

/**
 * @param {readonly string[][]} table
 * @returns {string} As Markdown, as the formatter wants it.
 */
export function markdown(table) {
	const [head = [], ...body] = padded(table)
	const rule = head.map(({ length }, i) => (i === 0 ? '-'.repeat(length) : `${'-'.repeat(length - 1)}:`))
	return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/**
 * @param {CaseResult} result
 * @returns {string[][]} Target, limit, measured, status.
 */
export function targetRows(result) {
	return verdicts(result).map(({ target, status, detail }) => [target.what, limit(target), detail, status])
}
