import { describe, expect, it } from 'vitest'
import { readArguments } from '../src/arguments.js'

describe('readArguments', () => {
	it('has defaults', () => {
		expect(readArguments([])).toEqual({ instances: 1, port: 3000, host: 'localhost' })
	})

	it('reads every option, in both spellings and after dashes', () => {
		expect(readArguments(['--', '--instances', '3', '--port=0', '--host', '0.0.0.0'])).toEqual({
			instances: 3,
			port: 0,
			host: '0.0.0.0',
		})
	})

	it.each([
		['--instances', '0'],
		['--instances', '1.5'],
		['--instances', '99'],
		['--port', 'http'],
		['--port', ''],
		['--port', '65536'],
	])('refuses %s %s', (...args) => {
		expect(() => readArguments(args)).toThrow(`${args[0]} must be a whole number`)
	})

	it('takes the port from the environment, unless the option says another one', () => {
		expect(readArguments([], { PORT: '8080' }).port).toBe(8080)
		expect(readArguments([], { PORT: '0' }).port).toBe(0)
		expect(readArguments(['--port', '9090'], { PORT: '8080' }).port).toBe(9090)
		expect(readArguments(['--port', '9090'], { PORT: 'http' }).port).toBe(9090)
		expect(readArguments([], { PORT: '' }).port).toBe(3000)
	})

	it.each(['http', '65536', '-1', '80.5'])('refuses PORT=%s', (PORT) => {
		expect(() => readArguments([], { PORT })).toThrow('PORT must be a whole number')
	})

	it('refuses what it does not know', () => {
		expect(() => readArguments(['--instance', '3'])).toThrow()
		expect(() => readArguments(['3'])).toThrow()
	})
})
