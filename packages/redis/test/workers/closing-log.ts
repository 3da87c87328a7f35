/** Opens channels on Redis, closes everything, and tells which handles are left. Its one argument is the URL. */
import { getActiveResourcesInfo } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { EvStreamManager } from '@evstream/core'
import { EvRedisAdapter } from '../../src/index.js'

const [url = ''] = process.argv.slice(2)
const before = getActiveResourcesInfo()
const onError = (): void => {}
const nothing = { deliver() {}, reset() {}, direct() {}, error() {} }
const options = { instance: 'i-', resumable: true, retention: () => ({ size: 10, ttl: 60_000 }) }

const adapter = new EvRedisAdapter(url, { namespace: 'closing', onError })
const manager = new EvStreamManager({ adapter, history: { size: 10 }, onError })
await manager.send('x', { data: '1' })
const log = adapter.openLog(nothing, options)
await log.subscribe('a')
// One that is closed in the middle of everything, and one whose Redis is not there.
const busy = new EvRedisAdapter(url, { namespace: 'busy', onError })
const busyLog = busy.openLog(nothing, options)
void Promise.resolve(busyLog.subscribe('a')).catch(() => {})
void Promise.resolve(busyLog.append('a', 'data:1\n\n')).catch(() => {})
const away = new EvRedisAdapter({ port: 1, host: '127.0.0.1' }, { namespace: 'away', onError })
const awayLog = away.openLog(nothing, options)
void Promise.resolve(awayLog.subscribe('a')).catch(() => {})
void Promise.resolve(awayLog.append('a', 'data:1\n\n')).catch(() => {})
void Promise.resolve(awayLog.direct('i-1', 'data:1\n\n')).catch(() => {})

await manager.close()
for (const one of [log, busyLog, awayLog]) await one.close()
for (const one of [adapter, busy, away]) await one.close()

// A handle is only gone from the list in the turn after it was closed.
let left = getActiveResourcesInfo()
for (let turn = 0; turn < 100 && left.length > before.length; turn++) {
	await sleep(1)
	left = getActiveResourcesInfo()
}
for (const name of before) {
	const at = left.indexOf(name)
	if (at >= 0) left.splice(at, 1)
}
console.log(JSON.stringify(left))
