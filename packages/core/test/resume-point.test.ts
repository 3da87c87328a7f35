import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatLate, lowOf, parseResumePoint } from '../src/resume-point.js'

const epoch = fc.stringMatching(/^[A-Za-z0-9._]{1,24}$/)
const seq = fc.oneof(fc.nat(100), fc.nat(), fc.maxSafeInteger().map(Math.abs))
const names = fc.uniqueArray(fc.string({ maxLength: 12 }), { maxLength: 12 })

/** What an id says of a channel: up to where its client has everything of it. */
function lowIn(id: string | undefined, name: string): number | undefined {
	const point = id === undefined ? undefined : parseResumePoint(id)
	return point && lowOf(point, name)
}

describe('the id of a client that has some channels only up to an earlier message', () => {
	const position = { epoch: 'e', seq: 40 }

	it('says for each of them up to where', () => {
		const late = new Map([
			['a', 5],
			['b', 5],
			['foobar', 35],
		])
		const id = formatLate(position, late, ['a', 'b', 'c', 'foobar'])
		// The published values of FNV-1a with 64 bits, folded to 51: the same on every instance.
		const [a, foobar] = [0xaf63dc4c8601ec8cn, 0x85944171f73967e8n].map((hash) =>
			((hash >> 51n) ^ (hash % 2n ** 51n)).toString(36),
		)
		expect(id).toMatch(new RegExp(`^e-5\\.${a}\\.[0-9a-z]{9,10}_z\\.${foobar}-40$`))
		expect(parseResumePoint(id ?? '')?.position).toEqual(position)
		expect(['a', 'b', 'c', 'foobar', 'unknown'].map((name) => lowIn(id, name))).toEqual([5, 5, 40, 35, 40])
	})

	it('is a plain position if no channel is behind it', () => {
		expect(formatLate(position, new Map(), ['a'])).toBe('e-40')
		expect(formatLate(position, new Map([['a', 40]]), ['a', 'b'])).toBe('e-40')
		expect(parseResumePoint('e-40')).toEqual({ position })
		expect(lowIn('e-40', 'a')).toBe(40)
	})

	it('names the others if fewer of the channels are not late', () => {
		const many = Array.from({ length: 1_000 }, (_, n) => `channel ${n}`)
		const channels = [...many, 'live', 'up to date']
		const late = new Map(many.map((name) => [name, 7]))
		const id = formatLate(position, late.set('up to date', 40), channels)
		expect(id).toMatch(/^e-7\.(\.[0-9a-z]{9,10}){2}-40$/)
		expect(['channel 0', 'channel 999', 'live', 'up to date'].map((name) => lowIn(id, name))).toEqual([
			7, 7, 40, 40,
		])
		// All of them are late.
		const all = formatLate(position, new Map(many.map((name) => [name, 7])), many)
		expect(all).toBe('e-7.-40')
		expect(lowIn(all, 'channel 5')).toBe(7)
		// Not if they are not all late alike, nor if too many of both.
		expect(formatLate(position, late.set('channel 5', 8), channels)).toBeUndefined()
		const half = new Map(many.slice(500).map((name) => [name, 7]))
		expect(formatLate(position, half, channels)).toBeUndefined()
	})

	it('tells channels apart whose names have the same short hash', () => {
		// Known pairs of words with one 32-bit FNV-1a hash.
		for (const [one, other] of [
			['costarring', 'liquid'],
			['declinate', 'macallums'],
			['altarage', 'zinke'],
		] as const) {
			const id = formatLate(position, new Map([[one, 5]]), [one, other])
			expect([one, other].map((name) => lowIn(id, name))).toEqual([5, 40])
		}
		const names = Array.from({ length: 200_000 }, (_, n) => `room-${n.toString(36)}`)
		const ids = new Set(names.map((name) => formatLate(position, new Map([[name, 5]]), [])))
		expect(ids.size).toBe(names.length)
	})

	it('is read as it was written, or is not written because it is longer than 128 bytes', () => {
		let written = 0
		let refused = 0
		const lows = fc.array(seq, { minLength: 12, maxLength: 12 })
		fc.assert(
			fc.property(epoch, seq, names, lows, names, (of, at, channels, low, live) => {
				const late = new Map(channels.map((name, n) => [name, Math.min(low[n] ?? 0, at)]))
				const all = [...new Set([...channels, ...live])]
				const id = formatLate({ epoch: of, seq: at }, late, all)
				if (id === undefined) {
					refused++
					// Each channel takes at most 1 + 10 bytes and each group at most 1 + 11.
					expect(of.length + 18 + late.size * 23).toBeGreaterThan(128)
					return
				}
				written++
				expect(id.length).toBeLessThanOrEqual(128)
				// What a browser sends across origins without asking first.
				expect(id).toMatch(/^[\w.-]+$/)
				expect(parseResumePoint(id)?.position).toEqual({ epoch: of, seq: at })
				for (const name of all) expect(lowIn(id, name)).toBe(late.get(name) ?? at)
			}),
			{ numRuns: 2_000 },
		)
		expect(written).toBeGreaterThan(100)
		expect(refused).toBeGreaterThan(10)
	})

	it('has 128 bytes at most, and uses them', () => {
		const at = { epoch: 'e'.repeat(24), seq: 1_000_000 }
		const late = new Map<string, number>()
		let longest = 0
		let id = formatLate(at, late, [])
		for (let n = 0; id !== undefined; n++) {
			longest = id.length
			late.set(`channel ${n}`, n)
			id = formatLate(at, late, [])
		}
		expect(longest).toBeGreaterThan(128 - 14)
		expect(longest).toBeLessThanOrEqual(128)
	})

	it.each([
		'',
		'-',
		'--',
		'e',
		'e-',
		'e-a',
		'e--5',
		'e-1-5',
		'e-.a-5',
		'e-6..a-5',
		'e-.-5',
		'e-1.-_-5',
		'e-6.a-5',
		'e-1.a_-5',
		'e-_1.a-5',
		'e-1.A-5',
		'e-1.a-5-6',
		'e-1.a-05',
		'e-1.a--5',
		'e-1.a-9007199254740993',
		'e-zzzzzzzzzzzz.a-5',
		'e-1.ä-5',
		'e f-1.a-5',
		`e-1.${'a'.repeat(128)}-5`,
		`${'e'.repeat(65)}-5`,
	])('is not read from %j', (id) => {
		expect(parseResumePoint(id)).toBeUndefined()
	})

	it('is never read from what is none, and reading never throws', () => {
		const piece = fc.constantFrom('-', '.', '_', 'e', '1', 'z', '0', 'A', ' ', '\0', 'é')
		fc.assert(
			fc.property(
				fc.oneof(
					fc.string(),
					fc.array(piece).map((parts) => parts.join('')),
				),
				(id) => {
					const point = parseResumePoint(id)
					if (point === undefined) return
					expect(id).toMatch(/^[A-Za-z0-9._]+-(?:[a-z0-9._]+-)?\d+$/)
					for (const name of ['', 'a', id]) expect(lowOf(point, name)).toBeLessThanOrEqual(point.position.seq)
				},
			),
			{ numRuns: 5_000 },
		)
	})
})
