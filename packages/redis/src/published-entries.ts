import type { LogEntry } from '@evstream/core'

const HEADER = /^([A-Za-z0-9._]{1,64}) ([0-9]{1,16}) ([0-9]{1,16}) ([0-9]{1,16}) (.*)$/

/**
 * Reads what the publish script published to a channel: entries, each behind a line that says what it is.
 *
 * @throws TypeError if it is something else.
 */
export function publishedEntries(channel: string, published: string): LogEntry[] {
	const entries: LogEntry[] = []
	let at = 0
	while (at < published.length) {
		const lineEnd = published.indexOf('\n', at)
		const header = lineEnd < 0 ? null : HEADER.exec(published.slice(at, lineEnd))
		const [, epoch, seq, prev, length, except] = header ?? []
		if (epoch === undefined)
			throw new TypeError(`Something that is no message was published for "${channel}".`)
		const start = lineEnd + 1
		at = start + Number(length)
		if (at > published.length) throw new TypeError(`A message for "${channel}" was published only in part.`)
		entries.push({
			channel,
			epoch,
			seq: Number(seq),
			prev: Number(prev),
			payload: published.slice(start, at),
			except: except || undefined,
		})
	}
	return entries
}
