import assert from 'node:assert/strict'
import type {
	ListChange,
	OperationId,
	RegisteredState,
	StatePlace,
	StateStore,
	StoredState,
} from '../state-store.js'
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
		turns(check)
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
		const created = await load(store, 'a', '1')
		assert.equal(created.version, 1)
		assert.equal(created.value, '1')
		assert.equal(created.born, created.stamp)
		assert.match(created.stamp, /^[A-Za-z0-9_.-]{1,100}$/)
		assert.deepEqual(await load(second, 'a', '2'), created)
		assert.deepEqual(await second.read('a'), created)
	})

	check('a read of nothing gives undefined and creates nothing', async ({ store, second }) => {
		assert.equal(await store.read('a'), undefined)
		assert.equal(await second.read('a'), undefined)
	})

	check('a commit on the stored version writes the next one', async ({ store, second }) => {
		const op = writer()
		const first = await load(store, 'a', '1')
		const result = await store.commit('a', first, '2', op(1))
		assert.deepEqual(result, {
			committed: true,
			state: { version: 2, stamp: `${op(1).writer}.1`, born: first.born, value: '2' },
		})
		assert.deepEqual(await second.read('a'), result.state)
	})

	check('a commit on an older version writes nothing and gives the winner', async ({ store, second }) => {
		const first = await load(store, 'a', '1')
		const won = await store.commit('a', first, '2', writer()(1))
		assert.deepEqual(await second.commit('a', first, '3', writer()(1)), {
			committed: false,
			state: won.state,
		})
		assert.deepEqual(await store.read('a'), won.state)
	})

	check('a commit on the same version of another history writes nothing', async ({ store }) => {
		const first = await load(store, 'a', '1')
		const other = { ...first, stamp: 'another' }
		assert.deepEqual(await store.commit('a', other, '2', writer()(1)), { committed: false, state: first })
	})

	check('a commit on nothing writes nothing', async ({ store }) => {
		const op = writer()
		const known = { version: 3, stamp: 'x', born: 'x', value: '1' }
		assert.deepEqual(await store.commit('a', known, '2', op(1)), { committed: false, state: undefined })
		assert.equal(await store.read('a'), undefined)
	})

	check('of many commits at once on one version exactly one is written', async ({ store, second }) => {
		const first = await load(store, 'a', '0')
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
			const first = await load(store, name, JSON.stringify(name))
			await store.commit(name, first, value, writer()(1))
			assert.equal((await second.read(name))?.value, value)
		}
		const long = JSON.stringify('y'.repeat(100_000))
		assert.equal((await load(store, 'long', long)).value, long)
		assert.equal((await second.read('long'))?.value, long)
	})
}

function idempotency(check: Check): void {
	check('a commit that runs twice is written once', async ({ store, second }) => {
		const op = writer()
		const first = await load(store, 'a', '1')
		const once = await store.commit('a', first, '2', op(1))
		assert.deepEqual(await store.commit('a', first, '2', op(1)), once)
		const later = await second.commit('a', committed(once.state), '3', writer()(1))
		assert.deepEqual(await store.commit('a', first, '2', op(1)), { committed: true, state: later.state })
		assert.deepEqual(await store.read('a'), later.state)
	})

	check('a refused commit may be tried again under its id', async ({ store }) => {
		const op = writer()
		const first = await load(store, 'a', '1')
		const other = await store.commit('a', first, '2', writer()(1))
		assert.equal((await store.commit('a', first, '3', op(1))).committed, false)
		assert.equal((await store.commit('a', committed(other.state), '3', op(1))).committed, true)
	})

	check('a late copy of an earlier operation writes nothing', async ({ store }) => {
		const op = writer()
		const first = await load(store, 'a', '1')
		const second = committed((await store.commit('a', first, '2', op(2))).state)
		assert.deepEqual(await store.commit('a', second, '3', op(1)), { committed: false, state: second })
	})

	check('writers do not disturb each other', async ({ store }) => {
		const one = writer()
		const two = writer()
		const first = await load(store, 'a', '1')
		const second = committed((await store.commit('a', first, '2', one(7))).state)
		const third = committed((await store.commit('a', second, '3', two(1))).state)
		assert.deepEqual(await store.commit('a', first, '2', one(7)), { committed: true, state: third })
	})

	check(
		'a creation that is repeated after a removal does not bring the state back',
		async ({ store, second }) => {
			const place = await store.look('a')
			assert.equal((await store.create('a', '1', place, true))?.version, 1)
			assert.equal((await store.create('a', '2', place, true))?.value, '1')
			await remove(second, 'a')
			assert.equal(await store.create('a', '1', place, true), undefined)
			assert.deepEqual(await entries(store), [])
			assert.equal(await store.read('a'), undefined)
			// Decided after the removal it is another one.
			assert.equal((await register(second, 'a', '3')).value, '3')
			assert.equal((await store.create('a', '1', place, true))?.value, '3')
		},
	)

	check(
		'a creation on its way when nothing is removed takes no effect any more',
		async ({ store, second }) => {
			const place = await store.look('a')
			await remove(second, 'a')
			assert.equal(await store.create('a', '1', place, true), undefined)
			assert.deepEqual(await entries(store), [])
			assert.equal((await register(store, 'a', '2')).value, '2')
		},
	)

	check('a removal that is repeated at any time spares a state created since', async ({ store, second }) => {
		const first = await register(store, 'a', '1')
		await store.remove('a', first)
		const again = await register(second, 'a', '2')
		assert.notEqual(again.born, first.born)
		for (let n = 0; n < 3; n++) await store.remove('a', first)
		assert.deepEqual(await store.read('a'), again)
		assert.deepEqual(await entries(store), [{ name: 'a', initial: '2' }])
		await store.remove('a', again)
		await store.remove('a', first)
		assert.ok((await register(second, 'a', '3')).version > again.version)
	})

	check(
		'a removal of nothing that is repeated spares a creation decided since',
		async ({ store, second }) => {
			const { next } = await store.look('a')
			await store.remove('a', { born: '', version: next })
			const place = await second.look('a')
			await store.remove('a', { born: '', version: next })
			const created = await second.create('a', '1', place, true)
			assert.equal(created?.value, '1')
			await store.remove('a', { born: '', version: next })
			assert.deepEqual(await store.read('a'), created)
		},
	)

	check(
		'a commit keeps the incarnation, and one of an earlier one writes nothing',
		async ({ store, second }) => {
			const first = await load(store, 'a', '1')
			const next = committed((await store.commit('a', first, '2', writer()(1))).state)
			assert.equal(next.born, first.born)
			await remove(second, 'a')
			const again = await load(second, 'a', '3')
			assert.deepEqual(await store.commit('a', next, '4', writer()(1)), { committed: false, state: again })
		},
	)
}

function turns(check: Check): void {
	check('a writer that lost has the next turn, others wait for its commit', async ({ store, second }) => {
		const [slow, quick, third] = [writer(), writer(), writer()]
		const first = await load(store, 'a', '0')
		const next = committed((await store.commit('a', first, '1', quick(1))).state)
		assert.equal((await second.commit('a', first, '2', slow(1), { turn: 1000 })).committed, false)
		// It is taken.
		assert.equal((await second.commit('a', first, '2', third(1), { turn: 1000 })).committed, false)
		for (const other of [quick(2), third(2)]) {
			const { committed: won, state, wait } = await store.commit('a', next, '3', other)
			assert.deepEqual([won, state], [false, undefined])
			assert.ok(wait !== undefined && wait > 0 && wait <= 1000)
		}
		const won = await second.commit('a', next, '4', slow(2))
		assert.equal(won.committed, true)
		// An operation that had to wait was not done, and may be tried again.
		assert.equal((await store.commit('a', committed(won.state), '5', quick(2))).committed, true)
	})

	check('a turn ends by itself', async ({ store }) => {
		const first = await load(store, 'a', '0')
		const next = committed((await store.commit('a', first, '1', writer()(1))).state)
		await store.commit('a', first, '2', writer()(1), { turn: 30 })
		const begun = performance.now()
		for (;;) {
			const { committed: won, wait } = await store.commit('a', next, '3', writer()(1))
			if (won) break
			assert.ok(wait !== undefined && performance.now() - begun < 5000)
			await new Promise((resolve) => setTimeout(resolve, 5))
		}
	})

	check('no turn is longer than a second, nor outlives its state', async ({ store }) => {
		const first = await load(store, 'a', '0')
		const next = committed((await store.commit('a', first, '1', writer()(1))).state)
		await store.commit('a', first, '2', writer()(1), { turn: 60_000 })
		assert.ok(Number((await store.commit('a', next, '3', writer()(1))).wait) <= 1000)
		await remove(store, 'a')
		const again = await load(store, 'a', '0')
		assert.equal((await store.commit('a', again, '1', writer()(1))).committed, true)
	})
}

function losses(check: Check): void {
	const known: StoredState = { version: 5, stamp: 'known.5', born: 'known.1', value: '"five"' }

	check('a restore writes over nothing and over a lower version', async ({ store, second }) => {
		assert.deepEqual(await store.restore('a', known), known)
		assert.deepEqual(await second.read('a'), known)
		await load(store, 'b', '0')
		assert.deepEqual(await second.restore('b', known), known)
		assert.deepEqual(await store.read('b'), known)
	})

	check('a restore leaves the same or a higher version alone', async ({ store }) => {
		const same = { ...known, stamp: 'other.5', value: '"other"' }
		await store.restore('a', same)
		assert.deepEqual(await store.restore('a', known), same)
		const higher = { version: 6, stamp: 'other.6', born: 'known.1', value: '"other"' }
		await store.restore('a', higher)
		assert.deepEqual(await store.restore('a', known), higher)
	})

	check('a restore does not bring a removed state back', async ({ store, second }) => {
		const entry = { name: 'a', initial: '0' }
		const { born } = await register(store, 'a', '0')
		await remove(second, 'a')
		// A version that the store had lost when it was removed.
		assert.equal(await store.restore('a', { ...known, born }, entry), undefined)
		assert.equal(await store.restore('a', { ...known, version: 1 }, entry), undefined)
		assert.equal(await store.read('a'), undefined)
		assert.deepEqual(await entries(store), [])
	})

	check(
		'a late removal of an earlier incarnation does not keep a lost one away',
		async ({ store, second }) => {
			const first = await load(store, 'a', '1')
			await store.remove('a', first)
			assert.deepEqual(await second.restore('a', known), known)
			await store.remove('a', first)
			assert.deepEqual(await store.read('a'), known)
		},
	)

	check('a restore of a listed state puts it back on the list', async ({ store, second }) => {
		const entry = { name: 'a', initial: '0' }
		assert.deepEqual(await store.restore('a', known, entry), known)
		assert.deepEqual(await entries(second), [entry])
	})

	check('a state created after a removal goes on above the version it was removed at', async ({ store }) => {
		const first = await load(store, 'a', '1')
		const next = committed((await store.commit('a', first, '2', writer()(1))).state)
		await remove(store, 'a')
		assert.deepEqual(await store.commit('a', next, '3', writer()(1)), { committed: false, state: undefined })
		const again = await load(store, 'a', '7')
		assert.equal(again.value, '7')
		assert.ok(again.version > next.version)
		assert.deepEqual(await store.restore('a', next), again)
	})
}

function lists(check: Check): void {
	const names = (list: readonly RegisteredState[]): string[] => list.map((state) => state.name).sort()

	check('a registration lists and loads, a second one changes nothing', async ({ store, second }) => {
		const created = await register(store, 'a', '1')
		assert.equal(created?.value, '1')
		assert.deepEqual(await register(second, 'a', '2'), created)
		assert.deepEqual(await entries(second), [{ name: 'a', initial: '1' }])
	})

	check('a state that was created without the list can be put there later', async ({ store, second }) => {
		const created = await load(store, 'a', '1')
		assert.deepEqual(await entries(store), [])
		assert.deepEqual(await register(second, 'a', '2'), created)
		assert.deepEqual(await entries(store), [{ name: 'a', initial: '2' }])
	})

	check('a look tells what there is of a name, and changes nothing', async ({ store, second }) => {
		const nothing: StatePlace = await store.look('a')
		const { seen: _, ...facts } = nothing
		assert.deepEqual(facts, { state: undefined, listed: undefined, removed: false, spoilt: false, next: 1 })
		assert.equal(await second.read('a'), undefined)
		const state = await register(store, 'a', '5')
		const there = await second.look('a')
		assert.deepEqual([there.state, there.listed, there.removed], [state, '5', false])
		await store.remove('a', state)
		const removed = await second.look('a')
		assert.deepEqual(
			[removed.state, removed.listed, removed.removed, removed.next],
			[undefined, undefined, true, 2],
		)
	})

	check('a list that has not changed is not given twice', async ({ store, second }) => {
		await register(store, 'a', '1')
		const list = await store.list()
		assert.ok(list)
		assert.equal(await second.list(list.stamp), undefined)
		await register(second, 'a', '2')
		await load(second, 'c', '2')
		assert.equal(await store.list(list.stamp), undefined)
		await register(second, 'b', '2')
		const longer = await store.list(list.stamp)
		assert.equal(longer?.states.length, 2)
		await remove(store, 'b')
		const shorter = await second.list(longer?.stamp)
		assert.deepEqual(shorter?.states, list.states)
		assert.notEqual(shorter?.stamp, list.stamp)
	})

	check('a removal takes the name off the list and removes the value', async ({ store, second }) => {
		await register(store, 'a', '1')
		await register(store, 'b', '1')
		await remove(second, 'a')
		assert.deepEqual(names(await entries(store)), ['b'])
		assert.equal(await store.read('a'), undefined)
		await remove(second, 'never there')
	})

	check('registrations and removals at once end with the same list everywhere', async ({ store, second }) => {
		const work: Promise<unknown>[] = []
		for (let n = 0; n < 60; n++) {
			const on = n % 2 ? store : second
			const name = `s${n % 7}`
			work.push(n % 3 === 0 ? remove(on, name) : tryToRegister(on, name, '0'))
		}
		await Promise.all(work)
		const listed = names(await entries(store))
		assert.deepEqual(names(await entries(second)), listed)
		for (let n = 0; n < 7; n++) {
			assert.equal((await store.read(`s${n}`)) !== undefined, listed.includes(`s${n}`))
		}
	})
}

function watching(check: Check): void {
	check(
		'a watcher is told of commits, restores and removals of its state alone',
		async ({ store, second }) => {
			const first = await load(store, 'a', '1')
			const seen = new Calls<StoredState | 'missed'>()
			const unwatch = await second.watch('a', {
				changed: (state) => seen.add(state),
				missed: () => seen.add('missed'),
			})
			await load(store, 'b', '1')
			const next = committed((await store.commit('a', first, '2', writer()(1))).state)
			await seen.until((call) => call !== 'missed' && call.version === 2)
			assert.deepEqual(
				seen.all.filter((call) => call !== 'missed' && call.version > 1),
				[next],
			)
			const put = { version: 9, stamp: 'r.9', born: first.born, value: '"r"' }
			await store.restore('a', put)
			await seen.until((call) => call !== 'missed' && call.stamp === 'r.9')
			seen.all.length = 0
			await remove(store, 'a')
			await seen.until((call) => call === 'missed')
			unwatch()
			unwatch()
		},
	)

	check('an unwatched watcher is told nothing, the others go on', async ({ store, second }) => {
		let state = await load(store, 'a', '1')
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

	check(
		'a watcher of the list is told each change, with the stamps before and after',
		async ({ store, second }) => {
			const seen = new Calls<ListChange>()
			const unwatch = await second.watchList({ changed: (change) => seen.add(change), missed: () => {} })
			seen.all.length = 0
			const before = (await store.list())?.stamp
			await register(store, 'a b', '1')
			await seen.until(({ name }) => name === 'a b')
			const [created] = seen.all
			assert.deepEqual(created, { name: 'a b', before, after: (await second.list())?.stamp })
			seen.all.length = 0
			await remove(store, 'a b')
			await seen.until(({ name }) => name === 'a b')
			assert.deepEqual(seen.all[0], {
				name: 'a b',
				before: created?.after,
				after: (await second.list())?.stamp,
			})
			unwatch()
			unwatch()
		},
	)
}

async function load(store: StateStore, name: string, initial: string): Promise<StoredState> {
	return committed(await store.create(name, initial, await store.look(name), false))
}

async function register(store: StateStore, name: string, initial: string): Promise<StoredState> {
	return committed(await tryToRegister(store, name, initial))
}

/** `undefined` if it was removed in between. */
async function tryToRegister(
	store: StateStore,
	name: string,
	initial: string,
): Promise<StoredState | undefined> {
	return store.create(name, initial, await store.look(name), true)
}

/** Removes what there is. */
async function remove(store: StateStore, name: string): Promise<void> {
	const { state, next } = await store.look(name)
	await store.remove(name, state ?? { born: '', version: next })
}

async function entries(store: StateStore): Promise<readonly RegisteredState[]> {
	const list = await store.list()
	assert.ok(list, 'a list that nobody knows is given')
	return list.states
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
