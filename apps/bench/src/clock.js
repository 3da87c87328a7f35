/**
 * Microseconds of a monotonic clock that all processes of a machine share, so a time taken in the server can be
 * subtracted from one taken in the load client.
 *
 * @returns {number}
 */
export function now() {
	const [seconds, nanoseconds] = process.hrtime()
	return seconds * 1e6 + nanoseconds / 1e3
}
