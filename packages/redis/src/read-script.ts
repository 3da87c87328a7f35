import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/**
 * Reads channels up to one point of the log, lowest numbers first. It never writes.
 *
 * KEYS: log, channels, a stream for each channel.
 * ARGV: known epoch, known seq, check, the most entries, the most bytes,
 * the seq up to which to read ('' for the head), how many bytes of the key of a stream stand before the channel's name;
 * "<from> <ttl, ms> " for each channel in one string, as hundreds of arguments cost more than what they ask for. ttl is
 * 0 for any age, and from a seq after which to read, or the newest entries: "last:<n>:<seq>" are the n newest below seq
 * ('' for all).
 *
 * Errors: EVBEGIN if an epoch has to begin first, and those of OPEN_LOG. Returns epoch, seq, floor, cuts, and for each channel
 * { start, todo, up to, link, replies of XRANGE... }:
 * - start: the seq after which it was read.
 * - todo: how to go on with looking for its newest entries, else ''. Then nothing was read of any channel.
 * - up to: all entries of the channel between start and this are in the replies.
 * - link: '' if there is more to read. Else the number of the channel's message before the first one that lies after
 *   the end, or of its last one: if that is above the last one the reader knows, some are missing.
 *
 * It reads a few entries of the channel of which it knows least, again and again, until the budget is used. So nearly
 * all that is read lies below the point up to which all channels are known. A binary heap has that channel on top. If
 * a channel stays there, its entries up to where the next one takes over are read at once.
 */
export const READ: Script = {
	name: 'evstreamRead',
	lua: `${OPEN_LOG}
local s, fields, refused = loadLog(KEYS[1], 'cuts')
if refused then return refused end
local why
why, refused = newEpoch(KEYS[1], KEYS[2], s, ARGV[1], ARGV[2], ARGV[3], false)
if refused then return refused end
if why then return redis.error_reply('EVBEGIN') end

local CHUNK = 64
local limit, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local bound = math.min(tonumber(ARGV[6]) or s.seq, s.seq)
local used, size = 0, 0

local function numberOf(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- Of a key that somebody spoilt there are no entries, so those that miss some are told.
local function entries(command, line, from, to, most)
  local found = redis.pcall(command, line.key, from, to, 'COUNT', most)
  return found.err and {} or found
end

local function after(line, seq, to, most) return entries('XRANGE', line, str(seq + 1), to, most) end

local function isOld(line, entry) return tonumber(string.match(entry[1], '%d+$')) < line.oldest end

local function account(line, found)
  local length = 0
  for _, entry in ipairs(found) do
    -- The payload, as PUBLISH writes it: the other fields are small.
    length = length + #(entry[2][4] or '')
  end
  used, size = used + #found, size + length
  line.used, line.size = line.used + #found, line.size + length
end

-- How many entries fit, if the next ones are as large as those of the channel so far, or of all channels.
local function fitting(line, most)
  local known = line.used > 0 and line.size / line.used or used > 0 and size / used or bytes
  return math.max(1, math.min(most, limit - used, math.floor((bytes - size) / math.max(known, 1))))
end

-- The number of the last entry that is too old. Times rise with the numbers.
local function lastOld(line)
  local low, high = line.upTo, bound
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    local entry = after(line, middle - 1, '+', 1)[1]
    if entry and isOld(line, entry) then low = numberOf(entry) else high = middle - 1 end
  end
  return math.min(low, bound)
end

local function finish(line)
  line.upTo, line.link = bound, line.last or s.floor
  if line.link > bound then
    local entry = after(line, bound, '+', 1)[1]
    if not entry then return end
    for at = 1, #entry[2], 2 do
      if entry[2][at] == 'v' then line.link = tonumber(entry[2][at + 1]) end
    end
  end
end

-- Finds where the newest entries begin; what does not fit is left to the next read.
local function seek(line, last, below)
  line.start = below and below - 1 or bound
  if last > 0 and not below then
    local length = redis.pcall('XLEN', line.key)
    if type(length) == 'number' and length <= last then
      local first = entries('XRANGE', line, '-', '+', 1)[1]
      line.start, last = first and math.min(numberOf(first) - 1, bound) or bound, 0
    end
  end
  while last > 0 do
    if used >= limit or size >= bytes then
      line.todo = 'last:' .. str(last) .. ':' .. str(line.start + 1)
      return
    end
    local most = fitting(line, math.min(last, CHUNK))
    local found = entries('XREVRANGE', line, str(line.start), '-', most)
    account(line, found)
    last = #found < most and 0 or last - #found
    for _, entry in ipairs(found) do
      if isOld(line, entry) then last = 0 break end
      line.start = numberOf(entry) - 1
    end
  end
end

local lines, heap, seeking = {}, {}, false
local prefix, each = tonumber(ARGV[7]), string.gmatch(ARGV[8], '(%S+) (%d+)')
for i = 3, #KEYS do
  local from, wanted = each()
  local ttl = tonumber(wanted)
  local name = string.sub(KEYS[i], prefix + 1)
  local line = {
    key = KEYS[i], last = tonumber(redis.call('ZSCORE', KEYS[2], name)), used = 0, size = 0,
    oldest = ttl > 0 and s.now - ttl or 0, replies = {}, todo = '',
  }
  line.start = tonumber(from)
  if not line.start then
    local last, below = string.match(from, '^last:(%d+):(%d*)$')
    seek(line, line.last and tonumber(last) or 0, tonumber(below))
  end
  line.upTo = line.start
  seeking = seeking or line.todo ~= ''
  lines[#lines + 1] = line
  if (line.last or 0) > line.start and line.start < bound then heap[#heap + 1] = line
  else finish(line) end
end

local function siftDown(at)
  local moved = heap[at]
  while true do
    local child = 2 * at
    if child > #heap then break end
    if child < #heap and heap[child + 1].upTo < heap[child].upTo then child = child + 1 end
    if heap[child].upTo >= moved.upTo then break end
    heap[at], at = heap[child], child
  end
  heap[at] = moved
end
for at = math.floor(#heap / 2), 1, -1 do siftDown(at) end

local few = math.max(1, math.min(16, math.floor(limit / 2 / math.max(#heap, 1))))
local previous
while heap[1] and not seeking and used < limit and size < bytes do
  local line = heap[1]
  local second = heap[2] and heap[2].upTo or bound
  if heap[3] then second = math.min(second, heap[3].upTo) end
  local to, most = bound, few
  if line == previous and second > line.upTo then to, most = second, CHUNK end
  most = fitting(line, most)
  local found = after(line, line.upTo, str(to), most)
  if line.used == 0 and found[1] and isOld(line, found[1]) then
    line.upTo = lastOld(line)
    found = line.upTo < to and after(line, line.upTo, str(to), most) or {}
  end
  local known = to
  if #found > 0 then
    account(line, found)
    line.replies[#line.replies + 1] = found
    if #found == most then known = numberOf(found[#found]) end
  end
  line.upTo, previous = math.max(line.upTo, known), line
  if line.upTo >= bound or line.upTo >= line.last then
    finish(line)
    heap[1] = heap[#heap]
    heap[#heap] = nil
  end
  if heap[1] then siftDown(1) end
end

local reply = { s.epoch, str(s.seq), str(s.floor), fields[#fields] or '' }
for _, line in ipairs(lines) do
  local link = line.link and str(line.link) or ''
  reply[#reply + 1] = { str(line.start), line.todo, str(line.upTo), link, unpack(line.replies) }
end
return reply
`,
}
