import { type DemoArguments, readArguments, USAGE } from './arguments.js'
import { onStop } from './listen.js'
import { type Served, serve } from './serve.js'

const options = read()
try {
	const served = await start(options)
	onStop(() => served.close())
	console.log(`evstream demo: http://localhost:${served.port}`)
} catch (error) {
	const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
	console.error(taken ? `Port ${options.port} is taken. Choose another one with --port or PORT.` : error)
	process.exit(1)
}

async function start({ instances, ...address }: DemoArguments): Promise<Served> {
	if (instances === 1) return serve(address)
	// Loaded only now: one instance needs no Redis and nothing that could start one.
	const { serveCluster } = await import('./cluster.js')
	return serveCluster({ instances, ...address })
}

function read(): DemoArguments {
	try {
		return readArguments(process.argv.slice(2), process.env)
	} catch (error) {
		console.error(`${(error as Error).message}\n\n${USAGE}`)
		process.exit(1)
	}
}
