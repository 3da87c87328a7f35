import { FORGET } from './forget-script.js'
import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/** The batches of one producer that the log knows by their number: a sender may have that many in flight. */
export const BATCHES_KNOWN = 16

/**
 * Appends a batch and publishes it.
 *
 * KEYS: log, channels, instances, retention, a stream for each distinct channel.
 * ARGV: known epoch, known seq, check, epoch if one has to begin, keep (ms), producer, batch number, number of the
 * batch that must have been applied before (0: none), not after (server time, ms), number of distinct channels; for
 * each of them its name, its Pub/Sub channel, size (empty: as the log says), ttl (ms), maxBytes (0: no such bound); for
 * each message the number of its channel, the lengths of payload and except, except, payload.
 *
 * Returns "epoch first-seq server-time": the messages have consecutive numbers from there. Errors:
 * - EVLATE: a later batch was applied and this one is not known any more. It is never applied.
 * - EVLATE server-time: it came after its time and was not applied.
 * - EVORDER: the batch before it was not applied, neither was this one.
 * - EVLAYOUT, EVNOINFO, WRONGTYPE: see OPEN_LOG.
 *
 * Messages of one channel that follow each other are published as one, each with the line
 * "epoch seq prev length except-length" before it, followed by except and payload; lengths count UTF-16 units.
 */
export const PUBLISH: Script = {
	name: 'evstreamPublish',
	lua: `${OPEN_LOG}${FORGET}
local OVERHEAD = 200
local log, channels, instances, retention = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local record, batch = 'p:' .. ARGV[6], tonumber(ARGV[7])
local slot = record .. ':' .. (batch % ${BATCHES_KNOWN})

local s, fields, refused = loadLog(log, record, slot)
if refused then return refused end
local highest = tonumber(fields[10]) or 0
if batch <= highest then
  local number, position = string.match(fields[11] or '', '^(%d+) (.+)$')
  if tonumber(number) ~= batch then return redis.error_reply('EVLATE') end
  return position .. ' ' .. str(s.now)
end
if s.now > tonumber(ARGV[9]) then return redis.error_reply('EVLATE ' .. str(s.now)) end
if highest < tonumber(ARGV[8]) then return redis.error_reply('EVORDER') end

local count = tonumber(ARGV[10])
local messages = (#ARGV - 10 - count * 5) / 4
local last, known = {}, true
for i = 1, count do
  local score = redis.pcall('ZSCORE', channels, ARGV[6 + i * 5])
  if type(score) == 'string' then last[i] = tonumber(score) end
  known = known and last[i]
end

local why
why, refused = newEpoch(log, channels, s, ARGV[1], ARGV[2], ARGV[3], known)
if refused then return refused end
if why then beginEpoch(log, s, why, ARGV[4]) end
if why and why ~= 'server' then last = {} end
keepFor(s, tonumber(ARGV[5]))

local function parseKept(text)
  local size, ttl, most = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  return tonumber(size), tonumber(ttl), tonumber(most)
end

-- Returns the size, ttl and bytes to keep of a channel, and what its next entry says of that. A sender without history
-- keeps what the others keep: what they say of this channel, or the more of what they say of every channel and what
-- the newest entry says. Nothing of that: what repairs need ('' in the entry), but a stream whose newest entry says
-- nothing at all is not cut.
local kept
local function keptOf(i, before, isNew)
  local at = 6 + i * 5
  if ARGV[at + 2] ~= '' then
    return ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), table.concat(ARGV, ' ', at + 2, at + 4)
  end
  if not kept then
    local names = { '' }
    for n = 1, count do names[n + 1] = ARGV[6 + n * 5] end
    kept = redis.pcall('HMGET', retention, unpack(names))
  end
  local size, ttl, most = parseKept(kept[i + 1])
  if not size then
    size, ttl, most = parseKept(kept[1])
    local size2, ttl2, most2 = parseKept(before)
    if size and size2 then
      size, ttl = math.max(size, size2), math.max(ttl, ttl2)
      most = (most == 0 or most2 == 0) and 0 or math.max(most, most2)
    elseif size2 then
      size, ttl, most = size2, ttl2, most2
    end
  end
  if size then return str(size), ttl, most, str(size) .. ' ' .. str(ttl) .. ' ' .. str(most) end
  if isNew or before then return '1000', 60000, 0, '' end
end

-- A stream: the bytes that were ever appended, what its newest entry says of what is kept, whether it is new, and
-- whether it has to begin again.
local bytes, said, isNew, spoilt = {}, {}, {}, {}
for i = 1, count do
  local newest = redis.pcall('XREVRANGE', KEYS[4 + i], '+', '-', 'COUNT', 1)
  local entry = newest[1]
  bytes[i] = entry and tonumber(entry[2][8]) or 0
  spoilt[i] = newest.err or entry and tonumber(string.match(entry[1], '^%d+')) > (last[i] or 0)
  if spoilt[i] then entry, bytes[i] = nil, 0 end
  isNew[i], said[i] = not entry, entry and entry[2][10]
  if not last[i] then last[i] = s.floor end
end

local seq = s.seq
local position = s.epoch .. ' ' .. str(seq + 1)
s.seq = seq + messages
local stored = ARGV[7] .. ' ' .. position
if s.run or s.changed then
  saveLog(redis.call, log, channels, s, record, ARGV[7], slot, stored)
else
  redis.call('HSET', log, 'seq', str(s.seq), record, ARGV[7], slot, stored)
end

-- The log counts the messages from here on, and a retry is answered with their position. So nothing that follows may
-- fail the batch because of one channel, or of what is only kept in order.

-- A key that somebody spoilt must not stop the channel, nor the others.
local function append(key, size, id, ...)
  for attempt = 1, 2 do
    local done
    if size then
      done = redis.pcall('XADD', key, 'MAXLEN', size, id, ...)
    else
      done = redis.pcall('XADD', key, id, ...)
    end
    if type(done) ~= 'table' or not done.err then return end
    if attempt == 2 then error(done.err, 0) end
    redis.pcall('DEL', key)
  end
end

local function seqOf(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- Drops what is too old, or too much. Both only rise along a stream, so the first entry to keep is found by halving.
local function trim(key, newest, total, oldest, most)
  local function isKept(entry)
    local fields = entry[2]
    local before = (tonumber(fields[8]) or 0) - #(fields[4] or '') - #(fields[6] or '') - OVERHEAD
    return tonumber(string.match(entry[1], '%d+$')) > oldest and (most == 0 or total - before <= most)
  end
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if not first or isKept(first) then return end
  local low, high = seqOf(first) + 1, newest + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', key, str(middle) .. '-0', '+', 'COUNT', 1)[1]
    if not entry or isKept(entry) then high = middle else low = seqOf(entry) + 1 end
  end
  redis.call('XTRIM', key, 'MINID', str(high))
end

local sizes, ttls, limits, says, before = {}, {}, {}, {}, {}
for i = 1, count do
  sizes[i], ttls[i], limits[i], says[i] = keptOf(i, said[i], isNew[i])
  before[i] = bytes[i]
  -- Entries of a log that was lost must not be taken for this one's.
  if spoilt[i] then redis.call('DEL', KEYS[4 + i]) end
end

-- The list comes first: what it names and a stream lacks is found by those that read.
local number = s.seq - messages
local ends = {}
for at = 11 + count * 5, #ARGV, 4 do
  number = number + 1
  ends[tonumber(ARGV[at])] = number
end
for i = 1, count do redis.call('ZADD', channels, str(ends[i]), ARGV[6 + i * 5]) end

local now, stamp = str(s.now), '-' .. str(s.now)
local run, runChannel = {}, nil
-- The messages are in the log: a listener that is not told, as an ACL forbids this channel, gets them by its next repair.
local function publish()
  redis.pcall('PUBLISH', ARGV[7 + runChannel * 5], #run == 1 and run[1] or table.concat(run))
end
for at = 11 + count * 5, #ARGV, 4 do
  local i = tonumber(ARGV[at])
  local except, payload = ARGV[at + 2], ARGV[at + 3]
  seq = seq + 1
  bytes[i] = bytes[i] + #payload + #except + OVERHEAD
  local number, prev = str(seq), str(last[i])
  local fields = { 'v', prev, 'p', payload, 'x', except, 'b', str(bytes[i]) }
  if says[i] then fields[9], fields[10] = 'k', says[i] end
  append(KEYS[4 + i], sizes[i], number .. stamp, unpack(fields))
  last[i] = seq
  if runChannel and runChannel ~= i then
    publish()
    run = {}
  end
  runChannel = i
  run[#run + 1] = s.epoch .. ' ' .. number .. ' ' .. prev .. ' ' .. ARGV[at + 1] .. '\\n' .. except .. payload
end

if runChannel then publish() end

local function tidy(i)
  local key, ttl, most = KEYS[4 + i], ttls[i], limits[i]
  if not ttl then return end
  -- The stream lives for 1.5 ttl, and its age is looked at whenever an eighth of the ttl has passed.
  local left = redis.call('PTTL', key)
  local aged = left < 1.375 * ttl or left > 1.5 * ttl
  local step = most / 16
  local grown = most > 0 and math.floor(bytes[i] / step) ~= math.floor(before[i] / step)
  if aged then redis.call('PEXPIRE', key, str(math.ceil(1.5 * ttl))) end
  if aged or grown then trim(key, last[i], bytes[i], s.now - ttl, most - step) end
end
for i = 1, count do pcall(tidy, i) end

local function keepLog()
  -- The list may be new.
  if not known then expireLog(s, channels) end
  if s.run or s.now - s.marked > s.keep then
    -- Once a minute, and with each new key.
    if s.begun or math.floor(s.now / 60000) ~= math.floor(s.checked / 60000) then
      expireLog(s, log, channels, instances, retention)
    end
    forget(log, channels, instances, s)
  end
end
pcall(keepLog)
return position .. ' ' .. now
`,
}
