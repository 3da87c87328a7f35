/** @throws RangeError unless `value` is a time a timer can wait: a longer one would fire at once. */
export function checkMs(name: string, value: number): void {
	if (value > 0 && value < 2 ** 31) return
	throw new RangeError(`${name} must be a number of milliseconds above 0 and below 2^31, not ${value}`)
}
