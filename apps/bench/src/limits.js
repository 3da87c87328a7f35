/** Whether the system lets a process open enough connections. */

/** Files a process has open besides its connections, generously. */
const OTHERS = 100

/**
 * Node raises the soft limit to the hard one when it starts, so the hard one decides.
 *
 * @returns {number} Infinity where there is no such limit.
 */
function openFiles() {
	const report = /** @type {any} */ (process.report.getReport())
	const limit = report.userLimits?.open_files?.hard
	return typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY
}

/**
 * @param {number} connections
 * @returns {string | undefined} What to do, if they are too many.
 */
export function tooMany(connections) {
	const needed = connections + OTHERS
	const limit = openFiles()
	if (limit >= needed) return undefined
	return (
		`needs ${needed} open files in one process, the limit is ${limit}. ` +
		`Raise it in this shell (as root, or in /etc/security/limits.conf): ulimit -n ${needed}`
	)
}
