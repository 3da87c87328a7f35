import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import { EvStreamManager } from 'evstream'

const manager = new EvStreamManager({ history: { size: 1000 } })

createServer((req, res) => {
	if (req.url === '/events') manager.createStream(req, res).listen('clock')
	else createReadStream('index.html').pipe(res)
}).listen(3000)

setInterval(() => manager.send('clock', { event: 'clock', data: { now: new Date() } }), 1000)
