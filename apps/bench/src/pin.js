/** Gives the server and the load client a core of their own, where the system can do that. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** @returns {number[]} The cores this process may use, as far as that can be found out. */
function allowedCores() {
	try {
		const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
		return list.split(',').flatMap((range) => {
			const [first = 0, last = first] = range.split('-').map(Number)
			return Array.from({ length: last - first + 1 }, (_, i) => first + i)
		})
	} catch {
		return []
	}
}

const cores = allowedCores()

/** Whether the two processes are pinned. */
export const pinned = cores.length > 1 && spawnSync('taskset', ['-c', String(cores[0]), 'true']).status === 0

/**
 * The command line that runs `args` with Node on the core of that role.
 *
 * @param {'server' | 'load'} role
 * @param {readonly string[]} args
 * @returns {[string, string[]]}
 */
export function command(role, args) {
	if (!pinned) return [process.execPath, [...args]]
	const core = String(cores[role === 'server' ? 0 : 1])
	return ['taskset', ['-c', core, process.execPath, ...args]]
}
