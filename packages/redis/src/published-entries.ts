import type { LogEntry } from '@evstream/core'

const HEADER = /^([A-Za-z0-9._]{1,64}) ([0-9]{1,16}) ([0-9]{1,16}) ([0-9]{1,16}) ([0-9]{1,16})$/

/**
 * Reads what the publish script published to a channel: entries, each behind a line that says what it is, and how
 * long the id it leaves out and the payload are.
 *
 * @throws TypeError if it is something else.
 */
export function publishedEntries(channel: string, published: string): LogEntry[] {
	const entries: LogEntry[] = []
	let at = 0
	while (at < published.length) {
		const lineEnd = published.indexOf('\n', at)
		const header = lineEnd < 0 ? null : HEADER.exec(published.slice(at, lineEnd))
		const [, epoch, seq, prev, length, exceptLength] = header ?? []
		if (epoch === undefined)
			throw new TypeError(`Something that is no message was published for "${channel}".`)
		const exceptStart = lineEnd + 1
		const start = exceptStart + Number(exceptLength)
		at = start + Number(length)
		if (at > published.length) throw new TypeError(`A message for "${channel}" was published only in part.`)
		entries.push({
			channel,
			epoch,
			seq: Number(seq),
			prev: Number(prev),
			payload: published.slice(start, at),
			except: published.slice(exceptStart, start) || undefined,
		})
	}
	return entries
}
