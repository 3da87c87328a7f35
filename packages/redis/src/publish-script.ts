import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/**
 * Appends a batch and publishes it.
 *
 * KEYS: log, channels, producer, a stream for each distinct channel.
 * ARGV: batch number, epoch if one has to begin, keep (ms), number of distinct channels; for each of them its name,
 * its Pub/Sub channel, size, ttl (ms); for each message the number of its channel, the lengths of payload and except,
 * except, payload.
 * Gives "epoch first-seq": the messages have consecutive numbers from there.
 *
 * Messages of one channel that follow each other are published as one, each with the line
 * "epoch seq prev length except-length" before it, followed by except and payload; lengths count UTF-16 units.
 */
export const PUBLISH: Script = {
	name: 'evstreamPublish',
	lua: `${OPEN_LOG}
-- A key that somebody spoilt, or entries of a log that was lost, must not stop the channel, nor the others.
local function append(key, size, id, prev, payload, except)
  for attempt = 1, 2 do
    local done = redis.pcall('XADD', key, 'MAXLEN', size, id, 'v', prev, 'p', payload, 'x', except)
    if type(done) ~= 'table' or not done.err then return end
    local spoilt = string.find(done.err, 'WRONGTYPE') or string.find(done.err, 'equal or smaller')
    if attempt == 2 or not spoilt then error(done.err, 0) end
    redis.call('DEL', key)
  end
end

local function forgetOld(key, oldest)
  for _ = 1, 8 do
    local some, old = redis.call('XRANGE', key, '-', '+', 'COUNT', 1), {}
    if not some[1] or tonumber(string.match(some[1][1], '%d+$')) > oldest then return end
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 100)) do
      if tonumber(string.match(entry[1], '%d+$')) <= oldest then old[#old + 1] = entry[1] end
    end
    redis.call('XDEL', key, unpack(old))
  end
end

local before = redis.call('HMGET', KEYS[3], 'batch', 'result')
-- A later batch stands there if this one was given up and is sent again behind its successor.
if before[1] and tonumber(before[1]) >= tonumber(ARGV[1]) then return before[2] end

local s = openLog(KEYS[1], KEYS[2], ARGV[2], tonumber(ARGV[3]))
local count = tonumber(ARGV[4])
local names, topics, sizes, ttls, last = {}, {}, {}, {}, {}
for i = 1, count do
  local at = 4 + (i - 1) * 4
  names[i], topics[i], sizes[i], ttls[i] = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  last[i] = tonumber(redis.call('ZSCORE', KEYS[2], names[i]))
  if not last[i] then
    -- Entries of a log that was lost must not be taken for this one's.
    redis.call('DEL', KEYS[3 + i])
    last[i] = s.floor
  end
end

local first = s.seq + 1
local run, runChannel = {}, nil
for at = 5 + count * 4, #ARGV, 5 do
  local i = tonumber(ARGV[at])
  local lengths, except, payload = ARGV[at + 1] .. ' ' .. ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  s.seq = s.seq + 1
  local seq, prev = str(s.seq), str(last[i])
  append(KEYS[3 + i], sizes[i], seq .. '-' .. str(s.now), prev, payload, except)
  last[i] = s.seq
  if runChannel and runChannel ~= i then
    redis.call('PUBLISH', topics[runChannel], table.concat(run))
    run = {}
  end
  runChannel = i
  run[#run + 1] = s.epoch .. ' ' .. seq .. ' ' .. prev .. ' ' .. lengths .. '\\n' .. except .. payload
end

for i = 1, count do
  redis.call('ZADD', KEYS[2], str(last[i]), names[i])
  forgetOld(KEYS[3 + i], s.now - tonumber(ttls[i]))
  redis.call('PEXPIRE', KEYS[3 + i], ttls[i])
end
saveLog(KEYS[1], KEYS[2], s)
local result = s.epoch .. ' ' .. str(first)
redis.call('HSET', KEYS[3], 'batch', ARGV[1], 'result', result)
redis.call('PEXPIRE', KEYS[3], 600000)
if runChannel then redis.call('PUBLISH', topics[runChannel], table.concat(run)) end
return result
`,
}
