import { describe, expect, it } from 'vitest'
import * as core from '../src/index.js'

const made: [name: string, error: core.EvError, code: string][] = [
	['EvError', new core.EvError('EV_CLOSED', 'It is closed. Open it.'), 'EV_CLOSED'],
	['EvMaxConnectionsError', new core.EvMaxConnectionsError(5), 'EV_MAX_CONNECTIONS'],
	['EvMaxListenerError', new core.EvMaxListenerError(5, 'a'), 'EV_MAX_LISTENERS'],
	['EvInvalidMessageError', new core.EvInvalidMessageError('No. Change it.'), 'EV_INVALID_MESSAGE'],
	['EvNotAuthenticatedError', new core.EvNotAuthenticatedError('listen'), 'EV_NOT_AUTHENTICATED'],
	['EvClosedError', new core.EvClosedError('The manager'), 'EV_CLOSED'],
	['EvUnavailableError', new core.EvUnavailableError('Away. Wait.'), 'EV_UNAVAILABLE'],
	['EvConflictError', new core.EvConflictError('Lost. Retry.'), 'EV_CONFLICT'],
]

describe('an error', () => {
	it('is in this list, whichever it is', () => {
		const classes = Object.entries(core).filter(
			([, value]) => value === core.EvError || Object.getPrototypeOf(value) === core.EvError,
		)
		expect(classes.map(([name]) => name).sort()).toEqual(made.map(([name]) => name).sort())
	})

	it.each(made)('%s has its literal name and code, and says what to do', (name, error, code) => {
		expect(error).toMatchObject({ name, code })
		expect(error).toBeInstanceOf(core.EvError)
		expect(error.message).toMatch(/^.+\. .+\.$/)
	})

	it('has a name that does not depend on the name of its class, which a bundler may change', () => {
		const [Renamed] = [class extends core.EvClosedError {}]
		expect(new Renamed('The manager').name).toBe('EvClosedError')
	})

	it('keeps the cause', () => {
		const cause = new Error('why')
		expect(new core.EvUnavailableError('Away. Wait.', { cause }).cause).toBe(cause)
	})
})
