import type { PeerRecord } from './peer-messages.js'

/** The most one page holds, in UTF-16 units of JSON, unless it is a single record. */
const PAGE_SIZE = 65_536

/** Divides records into pages, so that no message, and no turn of the event loop, grows with their number. */
export function* pages(records: Iterable<PeerRecord>): Generator<readonly PeerRecord[]> {
	let page: PeerRecord[] = []
	let size = 0
	for (const record of records) {
		const { length } = JSON.stringify(record)
		if (page.length > 0 && size + length > PAGE_SIZE) {
			yield page
			page = []
			size = 0
		}
		page.push(record)
		size += length
	}
	if (page.length > 0) yield page
}
