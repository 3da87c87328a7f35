/**
 * Serves one manager on the runtime that runs this file: `web` by the runtime's own server and `createResponse`,
 * `node` by its `node:http` and `createStream`. Prints the port.
 */
import { createServer } from 'node:http'
import process from 'node:process'
import { EvStreamManager } from '../../packages/core/dist/index.js'

const HOST = '127.0.0.1'
const manager = new EvStreamManager({ history: { size: 100 }, keepAlive: 200 })
const authentication = { method: 'query', param: 'token', verify: (token) => token === 'good' }

/** What the check asks for by plain requests; `undefined` if it asks for a stream. */
function command({ pathname, searchParams }) {
	switch (pathname) {
		case '/stats':
			return JSON.stringify(manager.stats())
		case '/send':
			for (const data of searchParams.getAll('data')) manager.send('news', { data })
			return 'sent'
		case '/close':
			void manager.close()
			return 'closing'
		case '/quit':
			setTimeout(() => process.exit(), 50)
			return 'bye'
		default:
			return undefined
	}
}

async function begin(stream) {
	if ((await stream.authenticate()) !== false) stream.listen('news')
}

function web(request) {
	const url = new URL(request.url)
	const answer = command(url)
	if (answer !== undefined) return new Response(answer)
	const options = url.pathname === '/secret' ? { authentication } : {}
	const { stream, response } = manager.createResponse(request, options)
	void begin(stream)
	return response
}

function node(req, res) {
	const url = new URL(req.url, `http://${HOST}`)
	const answer = command(url)
	if (answer !== undefined) res.end(answer)
	else void begin(manager.createStream(req, res, url.pathname === '/secret' ? { authentication } : {}))
}

const listening = (port) => console.log(`port ${port}`)

if (process.argv[2] === 'node') {
	const server = createServer(node).listen(0, HOST, () => listening(server.address().port))
} else if ('Bun' in globalThis) {
	listening(globalThis.Bun.serve({ port: 0, hostname: HOST, fetch: web, idleTimeout: 0 }).port)
} else {
	globalThis.Deno.serve({ port: 0, hostname: HOST, onListen: ({ port }) => listening(port) }, web)
}
