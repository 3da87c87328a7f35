import { describe, expect, it, onTestFinished } from 'vitest'
import { atEndOfTick, uncorkAtEndOfTick } from '../src/tick.js'

/** What is thrown where nobody catches it, from here on. */
function uncaught(): unknown[] {
	const thrown: unknown[] = []
	const others = process.listeners('uncaughtException')
	process.removeAllListeners('uncaughtException')
	process.on('uncaughtException', (error) => thrown.push(error))
	onTestFinished(() => {
		process.removeAllListeners('uncaughtException')
		for (const listener of others) process.on('uncaughtException', listener)
	})
	return thrown
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('the end of a tick', () => {
	it('does work that other work brings in the same tick, and lets go of what is corked after it', async () => {
		const log: string[] = []
		atEndOfTick({
			endTick() {
				log.push('work')
				uncorkAtEndOfTick({ uncork: () => void log.push('uncorked') })
				atEndOfTick({ endTick: () => void log.push('more work') })
			},
		})
		await new Promise<void>((resolve) => process.nextTick(resolve))
		expect(log).toEqual(['work', 'more work', 'uncorked'])
	})

	it('comes again for what is added after it', async () => {
		const log: string[] = []
		for (const name of ['first', 'second']) {
			atEndOfTick({ endTick: () => void log.push(name) })
			await turn()
		}
		expect(log).toEqual(['first', 'second'])
	})

	it('shows an error of one item as an uncaught one, and the others have their turn', async () => {
		const thrown = uncaught()
		const log: string[] = []
		atEndOfTick({
			endTick() {
				throw new Error('of the work')
			},
		})
		atEndOfTick({ endTick: () => void log.push('work') })
		uncorkAtEndOfTick({
			uncork() {
				throw new Error('of the cork')
			},
		})
		uncorkAtEndOfTick({ uncork: () => void log.push('uncorked') })
		await turn()
		await turn()
		expect(log).toEqual(['work', 'uncorked'])
		expect(thrown).toEqual([new Error('of the work'), new Error('of the cork')])
	})
})
