import assert from 'node:assert/strict'
import type { OperationId, RegisteredState, StateStore, StoredState } from '../state-store.js'
import type { ContractRunner } from './runner.js'

/** Two instances over the same, empty data. */
export interface StateStoreFixture {
	readonly store: StateStore
	/** Another instance on the same data. In one process it may be the same object. */
	readonly second: StateStore
	/** Ends both. */
	close(): Promise<void>
}

/**
 * What every {@link StateStore} must do. Call it at the top level of a test file.
 *
 * @param name - Names the store in the test report.
 * @param factory - Makes two instances over the same, empty data; called once for each test.
 * @param runner - `{ describe, it }` of the test runner.
 */
export function stateStoreContract(
	name: string,
	factory: () => Promise<StateStoreFixture>,
	runner: ContractRunner,
): void {
	const check = (title: string, body: (fixture: StateStoreFixture) => Promise<void>): void => {
		runner.it(title, async () => {
			const fixture = await factory()
			try {
				await body(fixture)
			} finally {
				await fixture.close()
			}
		})
	}

	runner.describe(`StateStore: ${name}`, () => {
		values(check)
		idempotency(check)
		losses(check)
		lists(check)
		watching(check)
	})
}

type Check = (title: string, body: (fixture: StateStoreFixture) => Promise<void>) => void

let writers = 0

/** A writer nobody used before, in this run or another one. */
function writer(): (number: number) => OperationId {
	const id = `w${Date.now().toString(36)}-${process.pid}-${++writers}`
	return (number) => ({ writer: id, number })
}

function values(check: Check): void {
	check('a load creates the first version, and later ones give what is stored', async ({ store, second }) => {
		const created = await store.load('a', '1')
		assert.equal(created.version, 1)
		assert.equal(created.value, '1')
		assert.match(created.stamp, /^[A-Za-z0-9_.-]{1,100}$/)
		assert.deepEqual(await second.load('a', '2'), created)
		assert.deepEqual(await second.read('a'), created)
	})

	check('a read of nothing gives undefined and creates nothing', async ({ store, second }) => {
		assert.equal(await store.read('a'), undefined)
		assert.equal(await second.read('a'), undefined)
	})

	check('a commit on the stored version writes the next one', async ({ store, second }) => {
		const op = writer()
		const first = await store.load('a', '1')
		const result = await store.commit('a', first, '2', op(1))
		assert.deepEqual(result, {
			committed: true,
			state: { version: 2, stamp: `${op(1).writer}.1`, value: '2' },
		})
		assert.deepEqual(await second.read('a'), result.state)
	})

	check('a commit on an older version writes nothing and gives the winner', async ({ store, second }) => {
		const first = await store.load('a', '1')
		const won = await store.commit('a', first, '2', writer()(1))
		assert.deepEqual(await second.commit('a', first, '3', writer()(1)), {
			committed: false,
			state: won.state,
		})
		assert.deepEqual(await store.read('a'), won.state)
	})

	check('a commit on the same version of another history writes nothing', async ({ store }) => {
		const first = await store.load('a', '1')
		const other = { ...first, stamp: 'another' }
		assert.deepEqual(await store.commit('a', other, '2', writer()(1)), { committed: false, state: first })
	})

	check('a commit on nothing writes nothing', async ({ store }) => {
		const op = writer()
		const known = { version: 3, stamp: 'x', value: '1' }
		assert.deepEqual(await store.commit('a', known, '2', op(1)), { committed: false, state: undefined })
		assert.equal(await store.read('a'), undefined)
	})

	check('of many commits at once on one version exactly one is written', async ({ store, second }) => {
		const first = await store.load('a', '0')
		const results = await Promise.all(
			Array.from({ length: 40 }, (_, n) => (n % 2 ? store : second).commit('a', first, `${n}`, writer()(1))),
		)
		const winners = results.filter((result) => result.committed)
		assert.equal(winners.length, 1)
		for (const result of results) assert.deepEqual(result.state, winners[0]?.state)
	})

	check('names and values of any characters come back unchanged', async ({ store, second }) => {
		const odd = [
			'',
			' ',
			'a b',
			'ü→😀',
			'{a}:b',
			'a\nb',
			'__proto__',
			'constructor',
			'*?[x]',
			'x'.repeat(500),
		]
		for (const name of odd) {
			const value = JSON.stringify({ name, text: ' é 😀 \u2028\n"\\', list: [1, null, true, -0.5e-7] })
			const first = await store.load(name, JSON.stringify(name))
			await store.commit(name, first, value, writer()(1))
			assert.equal((await second.read(name))?.value, value)
		}
		const long = JSON.stringify('y'.repeat(100_000))
		assert.equal((await store.load('long', long)).value, long)
		assert.equal((await second.read('long'))?.value, long)
	})
}

function idempotency(check: Check): void {
	check('a commit that runs twice is written once', async ({ store, second }) => {
		const op = writer()
		const first = await store.load('a', '1')
		const once = await store.commit('a', first, '2', op(1))
		assert.deepEqual(await store.commit('a', first, '2', op(1)), once)
		const later = await second.commit('a', committed(once.state), '3', writer()(1))
		assert.deepEqual(await store.commit('a', first, '2', op(1)), { committed: true, state: later.state })
		assert.deepEqual(await store.read('a'), later.state)
	})

	check('a refused commit may be tried again under its id', async ({ store }) => {
		const op = writer()
		const first = await store.load('a', '1')
		const other = await store.commit('a', first, '2', writer()(1))
		assert.equal((await store.commit('a', first, '3', op(1))).committed, false)
		assert.equal((await store.commit('a', committed(other.state), '3', op(1))).committed, true)
	})

	check('a late copy of an earlier operation writes nothing', async ({ store }) => {
		const op = writer()
		const first = await store.load('a', '1')
		const second = committed((await store.commit('a', first, '2', op(2))).state)
		assert.deepEqual(await store.commit('a', second, '3', op(1)), { committed: false, state: second })
	})

	check('writers do not disturb each other', async ({ store }) => {
		const one = writer()
		const two = writer()
		const first = await store.load('a', '1')
		const second = committed((await store.commit('a', first, '2', one(7))).state)
		const third = committed((await store.commit('a', second, '3', two(1))).state)
		assert.deepEqual(await store.commit('a', first, '2', one(7)), { committed: true, state: third })
	})

	check('a registration that runs twice does not bring a removed state back', async ({ store, second }) => {
		const op = writer()
		assert.equal((await store.register({ name: 'a', initial: '1' }, op(1)))?.version, 1)
		assert.equal((await store.register({ name: 'a', initial: '1' }, op(1)))?.version, 1)
		await second.remove('a', writer()(1))
		assert.equal(await store.register({ name: 'a', initial: '1' }, op(1)), undefined)
		assert.deepEqual(await store.list(), [])
		assert.equal(await store.read('a'), undefined)
	})

	check('a removal that runs twice spares a state created since', async ({ store, second }) => {
		const op = writer()
		await store.register({ name: 'a', initial: '1' }, writer()(1))
		await store.remove('a', op(1))
		const again = await second.register({ name: 'a', initial: '2' }, writer()(1))
		await store.remove('a', op(1))
		assert.deepEqual(await store.read('a'), again)
		assert.deepEqual(await store.list(), [{ name: 'a', initial: '2' }])
	})
}

function losses(check: Check): void {
	const known: StoredState = { version: 5, stamp: 'known.5', value: '"five"' }

	check('a restore writes over nothing and over a lower version', async ({ store, second }) => {
		assert.deepEqual(await store.restore('a', known), known)
		assert.deepEqual(await second.read('a'), known)
		await store.load('b', '0')
		assert.deepEqual(await second.restore('b', known), known)
		assert.deepEqual(await store.read('b'), known)
	})

	check('a restore leaves the same or a higher version alone', async ({ store }) => {
		const same = { ...known, stamp: 'other.5', value: '"other"' }
		await store.restore('a', same)
		assert.deepEqual(await store.restore('a', known), same)
		const higher = { version: 6, stamp: 'other.6', value: '"other"' }
		await store.restore('a', higher)
		assert.deepEqual(await store.restore('a', known), higher)
	})

	check('a restore does not bring a removed state back', async ({ store, second }) => {
		const entry = { name: 'a', initial: '0' }
		await store.register(entry, writer()(1))
		await second.remove('a', writer()(1))
		assert.equal(await store.restore('a', known, entry), undefined)
		assert.equal(await store.read('a'), undefined)
		assert.deepEqual(await store.list(), [])
	})

	check('a restore of a listed state puts it back on the list', async ({ store, second }) => {
		const entry = { name: 'a', initial: '0' }
		assert.deepEqual(await store.restore('a', known, entry), known)
		assert.deepEqual(await second.list(), [entry])
	})

	check('a state created after a removal goes on above the version it was removed at', async ({ store }) => {
		const first = await store.load('a', '1')
		const next = committed((await store.commit('a', first, '2', writer()(1))).state)
		await store.remove('a', writer()(1))
		assert.deepEqual(await store.commit('a', next, '3', writer()(1)), { committed: false, state: undefined })
		const again = await store.load('a', '7')
		assert.equal(again.value, '7')
		assert.ok(again.version > next.version)
		assert.deepEqual(await store.restore('a', next), again)
	})
}

function lists(check: Check): void {
	const names = (list: readonly RegisteredState[]): string[] => list.map((state) => state.name).sort()

	check('a registration lists and loads, a second one changes nothing', async ({ store, second }) => {
		const created = await store.register({ name: 'a', initial: '1' }, writer()(1))
		assert.equal(created?.value, '1')
		assert.deepEqual(await second.register({ name: 'a', initial: '2' }, writer()(1)), created)
		assert.deepEqual(await second.list(), [{ name: 'a', initial: '1' }])
	})

	check('a state that was only loaded is not on the list', async ({ store }) => {
		await store.load('a', '1')
		assert.deepEqual(await store.list(), [])
	})

	check('a removal takes the name off the list and removes the value', async ({ store, second }) => {
		await store.register({ name: 'a', initial: '1' }, writer()(1))
		await store.register({ name: 'b', initial: '1' }, writer()(1))
		await second.remove('a', writer()(1))
		assert.deepEqual(names(await store.list()), ['b'])
		assert.equal(await store.read('a'), undefined)
		await second.remove('never there', writer()(1))
	})

	check('registrations and removals at once end with the same list everywhere', async ({ store, second }) => {
		const work: Promise<unknown>[] = []
		for (let n = 0; n < 60; n++) {
			const on = n % 2 ? store : second
			const name = `s${n % 7}`
			const id = writer()(1)
			work.push((async () => (n % 3 === 0 ? on.remove(name, id) : on.register({ name, initial: '0' }, id)))())
		}
		await Promise.all(work)
		const listed = names(await store.list())
		assert.deepEqual(names(await second.list()), listed)
		for (let n = 0; n < 7; n++) {
			assert.equal((await store.read(`s${n}`)) !== undefined, listed.includes(`s${n}`))
		}
	})
}

function watching(check: Check): void {
	check(
		'a watcher is told of commits, restores and removals of its state alone',
		async ({ store, second }) => {
			const first = await store.load('a', '1')
			const seen = new Calls<StoredState | 'missed'>()
			const unwatch = await second.watch('a', {
				changed: (state) => seen.add(state),
				missed: () => seen.add('missed'),
			})
			await store.load('b', '1')
			const next = committed((await store.commit('a', first, '2', writer()(1))).state)
			await seen.until((call) => call !== 'missed' && call.version === 2)
			assert.deepEqual(
				seen.all.filter((call) => call !== 'missed' && call.version > 1),
				[next],
			)
			const put = { version: 9, stamp: 'r.9', value: '"r"' }
			await store.restore('a', put)
			await seen.until((call) => call !== 'missed' && call.stamp === 'r.9')
			seen.all.length = 0
			await store.remove('a', writer()(1))
			await seen.until((call) => call === 'missed')
			unwatch()
			unwatch()
		},
	)

	check('an unwatched watcher is told nothing, the others go on', async ({ store, second }) => {
		let state = await store.load('a', '1')
		const gone = new Calls<StoredState>()
		const here = new Calls<StoredState>()
		const unwatch = await second.watch('a', { changed: (call) => gone.add(call), missed: () => {} })
		const unwatchHere = await second.watch('a', { changed: (call) => here.add(call), missed: () => {} })
		unwatch()
		gone.all.length = 0
		state = committed((await store.commit('a', state, '2', writer()(1))).state)
		await here.until((call) => call.version === state.version)
		assert.deepEqual(gone.all, [])
		unwatchHere()
	})

	check('a watcher of the list is told of registrations and removals', async ({ store, second }) => {
		const seen = new Calls<'changed'>()
		const unwatch = await second.watchList({ changed: () => seen.add('changed') })
		seen.all.length = 0
		await store.register({ name: 'a', initial: '1' }, writer()(1))
		await seen.until(() => true)
		assert.equal((await second.list()).length, 1)
		seen.all.length = 0
		await store.remove('a', writer()(1))
		await seen.until(() => true)
		assert.equal((await second.list()).length, 0)
		unwatch()
		unwatch()
	})
}

function committed(state: StoredState | undefined): StoredState {
	assert.ok(state, 'the store holds a state')
	return state
}

/** Collects calls, and waits for one. */
class Calls<T> {
	readonly all: T[] = []
	#waiting: (() => void) | undefined

	add(call: T): void {
		this.all.push(call)
		this.#waiting?.()
	}

	async until(found: (call: T) => boolean): Promise<void> {
		if (this.all.some(found)) return
		let timer: NodeJS.Timeout | undefined
		try {
			await new Promise<void>((resolve, reject) => {
				timer = setTimeout(() => reject(new Error('The watcher was not told within 5 s')), 5000)
				this.#waiting = () => {
					if (this.all.some(found)) resolve()
				}
			})
		} finally {
			clearTimeout(timer)
			this.#waiting = undefined
		}
	}
}
