import { FORGET } from './forget-script.js'
import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/**
 * Keeps the log: begins an epoch if one has to begin, lets its keys live on, tells which position the instance uses and
 * what managers with history keep, and forgets a slice.
 *
 * KEYS: log, channels, instances, retention.
 * ARGV: known epoch, known seq, check, epoch if one has to begin, keep (ms), instance, the lowest seq it uses (empty:
 * none); then pairs of a channel (empty: every other one) and its "size ttl maxBytes".
 *
 * Returns "epoch seq server-time". A Redis that is full fails it only if an epoch has to begin. Errors: see OPEN_LOG.
 */
export const KEEP: Script = {
	name: 'evstreamKeep',
	keys: 4,
	lua: `${OPEN_LOG}${FORGET}
local log, channels, instances, retention = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local s, _, refused = loadLog(log)
if refused then return refused end
local why
why, refused = newEpoch(log, channels, s, ARGV[1], ARGV[2], ARGV[3], false)
if refused then return refused end
if why then beginEpoch(log, s, why, ARGV[4]) end
keepFor(s, tonumber(ARGV[5]))
if why then saveLog(redis.call, log, channels, s) end
expireLog(s, log, channels, instances, retention)
if not why then saveLog(redis.pcall, log, channels, s) end
-- A key that somebody spoilt begins again.
local function try(command, key, ...)
  if isWrongType(redis.pcall(command, key, ...)) then
    redis.pcall('DEL', key)
    redis.pcall(command, key, ...)
  end
end
if ARGV[7] == '' then
  try('HDEL', instances, ARGV[6])
else
  try('HSET', instances, ARGV[6], ARGV[7] .. ' ' .. str(s.now))
end
for at = 8, #ARGV, 2 do try('HSET', retention, ARGV[at], ARGV[at + 1]) end
expireLog(s, instances, retention)
forget(log, channels, instances, s)
return s.epoch .. ' ' .. str(s.seq) .. ' ' .. str(s.now)
`,
}
