import { parseArgs } from 'node:util'

export const USAGE = `Usage: demo [--instances N] [--port N] [--host NAME]

  --instances N  run N server processes behind one address, over Redis (default 1, in memory)
  --port N       the port of the page (default: the PORT of the environment, else 3000; 0 for a free one)
  --host NAME    the address to listen on (default localhost; 0.0.0.0 to open the page on a phone)`

export interface DemoArguments {
	readonly instances: number
	readonly port: number
	readonly host: string
}

/**
 * Reads the command line, and from `env` the `PORT`, which `--port` overrides. An empty `PORT` counts as not set.
 *
 * @throws Error with a sentence to print if a value is out of range or an argument is unknown.
 */
export function readArguments(args: readonly string[], { PORT }: NodeJS.ProcessEnv = {}): DemoArguments {
	const { values } = parseArgs({
		// `pnpm demo -- --port 1` hands the dashes on.
		args: args.filter((arg) => arg !== '--'),
		options: {
			instances: { type: 'string', default: '1' },
			port: { type: 'string' },
			host: { type: 'string', default: 'localhost' },
		},
	})
	return {
		instances: whole('--instances', values.instances, 1, 16),
		port:
			values.port === undefined
				? whole('PORT', PORT || '3000', 0, 65_535)
				: whole('--port', values.port, 0, 65_535),
		host: values.host,
	}
}

function whole(name: string, value: string, min: number, max: number): number {
	const number = Number(value)
	if (!/^\d+$/.test(value) || number < min || number > max) {
		throw new Error(`${name} must be a whole number from ${min} to ${max}.`)
	}
	return number
}
