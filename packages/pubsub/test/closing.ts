import { getActiveResourcesInfo } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { EvRedisPubSub, RedisBus } from '../src/index.js'

const url = process.argv[2] ?? ''
const before = getActiveResourcesInfo()

const bus = new RedisBus(url, { probe: { interval: 20, timeout: 500 } })
await bus.subscribe('a', () => {})
await bus.publish('a', 'x')
const pubsub = new EvRedisPubSub({ subject: 'a', options: url })
await pubsub.ready
await pubsub.send(1)
const away = new EvRedisPubSub({ subject: 'a', options: { port: 1, host: '127.0.0.1' } })
void away.send(1)
void away.ready
await Promise.all([bus.close(), pubsub.close(), away.close()])

// A handle is only gone from the list in the turn after it was closed.
let left = getActiveResourcesInfo()
for (let turn = 0; turn < 100 && left.length > before.length; turn++) {
	await sleep(1)
	left = getActiveResourcesInfo()
}
for (const name of before) left.splice(left.indexOf(name), 1)
console.log(JSON.stringify(left))
