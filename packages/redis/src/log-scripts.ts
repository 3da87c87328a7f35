import { READ } from './read-script.js'
import type { Script } from './script.js'

/*
 * The log in Redis.
 *
 *   {ns}:log        hash    epoch, seq, run, floor, cuts, mark, marked
 *   {ns}:channels   zset    channel -> seq of its last message
 *   {ns}:channel:x  stream  <seq>-<time, ms> -> v: prev, p: payload, x: except
 *
 * `run` is the server's run_id. Another one means a restart or a failover: what this server has may be less than
 * what the other one gave out. So a new epoch begins, and `cuts` keeps for the last epochs up to where this server
 * knows them ("epoch:seq;..."): positions up to there are as good as new ones.
 *
 * `floor` is the highest seq that a channel missing from {ns}:channels can have had. Twice in a while (`keep`) the
 * channels that were silent since the last time are taken out, so that channels that came and went do not stay.
 */
const OPEN_LOG = `
local function str(n) return string.format('%.0f', n) end

local function openLog(log, channels, candidate, keep, instances)
  local m = redis.call('HMGET', log, 'epoch', 'seq', 'run', 'floor', 'cuts', 'mark', 'marked')
  local state = {
    epoch = m[1], seq = tonumber(m[2]) or 0, floor = tonumber(m[4]) or 0, cuts = m[5] or '',
    mark = tonumber(m[6]) or 0, marked = tonumber(m[7]) or 0,
  }
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
  local changed = false
  if not state.epoch then
    state.epoch, state.seq, state.floor, state.cuts, changed = candidate, 0, 0, '', true
    state.mark, state.marked = 0, now
    redis.call('DEL', channels)
  elseif state.seq > state.floor and redis.call('EXISTS', channels) == 0 then
    state.epoch, state.floor, state.cuts, changed = candidate, state.seq, '', true
  elseif m[3] ~= run then
    local kept, n = '', 0
    for cut in string.gmatch(state.epoch .. ':' .. str(state.seq) .. ';' .. state.cuts, '[^;]+;') do
      n = n + 1
      if n <= 16 then kept = kept .. cut end
    end
    state.epoch, state.cuts, changed = candidate, kept, true
  end
  if now - state.marked > keep then
    local floor = state.mark
    for _, used in ipairs(redis.call('HVALS', instances)) do
      local lowest, at = string.match(used, '^(%d+) (%d+)$')
      if lowest and now - tonumber(at) < 3600000 then floor = math.min(floor, tonumber(lowest)) end
    end
    state.floor = math.max(state.floor, floor)
    redis.call('ZREMRANGEBYSCORE', channels, '-inf', str(state.floor))
    state.mark, state.marked, changed = state.seq, now, true
  end
  state.run, state.changed, state.keep, state.now = run, changed, keep, now
  return state
end

local function saveLog(log, channels, s)
  redis.call('HSET', log, 'epoch', s.epoch, 'seq', str(s.seq), 'run', s.run, 'floor', str(s.floor),
    'cuts', s.cuts, 'mark', str(s.mark), 'marked', str(s.marked))
  redis.call('PEXPIRE', log, str(s.keep * 2))
  redis.call('PEXPIRE', channels, str(s.keep * 2))
end
`

/**
 * Appends a batch and publishes it.
 *
 * KEYS: log, channels, producer, instances, a stream for each distinct channel.
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

local s = openLog(KEYS[1], KEYS[2], ARGV[2], tonumber(ARGV[3]), KEYS[4])
local count = tonumber(ARGV[4])
local names, topics, sizes, ttls, last = {}, {}, {}, {}, {}
for i = 1, count do
  local at = 4 + (i - 1) * 4
  names[i], topics[i], sizes[i], ttls[i] = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  last[i] = tonumber(redis.call('ZSCORE', KEYS[2], names[i]))
  if not last[i] then
    -- Entries of a log that was lost must not be taken for this one's.
    redis.call('DEL', KEYS[4 + i])
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
  append(KEYS[4 + i], sizes[i], seq .. '-' .. str(s.now), prev, payload, except)
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
  forgetOld(KEYS[4 + i], s.now - tonumber(ttls[i]))
  redis.call('PEXPIRE', KEYS[4 + i], ttls[i])
end
saveLog(KEYS[1], KEYS[2], s)
local result = s.epoch .. ' ' .. str(first)
redis.call('HSET', KEYS[3], 'batch', ARGV[1], 'result', result)
redis.call('PEXPIRE', KEYS[3], 600000)
if runChannel then redis.call('PUBLISH', topics[runChannel], table.concat(run)) end
return result
`,
}

/**
 * Keeps the log: begins an epoch if one has to begin, and says up to where an instance still needs it.
 *
 * KEYS: log, channels, instances.
 * ARGV: epoch if one has to begin, keep (ms), instance, the lowest seq it uses or ''.
 */
export const KEEP: Script = {
	name: 'evstreamKeep',
	keys: 3,
	lua: `${OPEN_LOG}
local s = openLog(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), KEYS[3])
saveLog(KEYS[1], KEYS[2], s)
if ARGV[4] ~= '' then
  redis.pcall('HSET', KEYS[3], ARGV[3], ARGV[4] .. ' ' .. str(s.now))
  redis.pcall('PEXPIRE', KEYS[3], str(s.keep * 2))
end
return s.epoch .. ' ' .. str(s.seq)
`,
}

/** For {@link "script".defineScripts}. */
export const LOG_SCRIPTS: readonly Script[] = [PUBLISH, KEEP, READ]
