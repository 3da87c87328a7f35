/**
 * Lua that forgets, for scripts that write. It follows `OPEN_LOG`.
 *
 * After each `keep` the log is marked. What was below the previous mark is then below `floor`, unless an instance has
 * told within the last hour that it uses a lower position: a channel that is silent for a listener who never left must
 * not be forgotten. If no instance tells a position, the floor rises only when that was so at the previous mark too: the
 * entries may have been lost, or the clock may have leapt, and live instances tell theirs within a minute. Channels at or below the floor are taken off the list, a slice with each call, so that no call
 * takes long. So are the records of producers who have not published since the previous mark.
 */
export const FORGET: string = `
local SLICE = 1000
local STALE = 3600000

-- The lowest seq that an instance uses, or nothing; entries of instances that are gone are removed, and a spoilt key.
local function lowestInUse(instances, now)
  local lowest, all = nil, redis.pcall('HGETALL', instances)
  if isWrongType(all) then redis.pcall('DEL', instances) end
  for i = 1, #all, 2 do
    local seq, time = string.match(all[i + 1], '^(%d+) (%d+)$')
    if seq and math.abs(now - tonumber(time)) <= STALE then
      lowest = math.min(lowest or math.huge, tonumber(seq))
    else
      redis.pcall('HDEL', instances, all[i])
    end
  end
  return lowest
end

-- The log is marked where it stood before this call.
local function markLog(log, instances, s)
  local m = redis.call('HMGET', log, 'mark', 'alone')
  local mark, lowest = tonumber(m[1]) or 0, lowestInUse(instances, s.now)
  if lowest or m[2] == '1' then s.floor = math.max(s.floor, math.min(mark, lowest or mark)) end
  redis.call('HSET', log, 'floor', str(s.floor), 'mark', str(s.head), 'marked', str(s.now), 'sweep', '0',
    'swept', str(mark), 'alone', lowest and '0' or '1')
  s.marked = s.now
end

-- Removes a slice of the producers whose last batch lies at or below the mark that was.
local function sweepProducers(log)
  local m = redis.call('HMGET', log, 'sweep', 'swept')
  if not m[1] then return end
  local swept = tonumber(m[2]) or 0
  local found = redis.call('HSCAN', log, m[1], 'MATCH', 'p:*', 'COUNT', SLICE)
  local fields = found[2]
  for i = 1, #fields, 2 do
    local producer = string.match(fields[i], '^p:[^:]+$')
    if producer then
      local last = redis.call('HGET', log, producer .. ':' .. (tonumber(fields[i + 1]) % 16))
      local seq = last and string.match(last, ' (%d+)$')
      if not seq or tonumber(seq) <= swept then
        local gone = { producer }
        for slot = 0, 15 do gone[#gone + 1] = producer .. ':' .. slot end
        redis.call('HDEL', log, unpack(gone))
      end
    end
  end
  if found[1] == '0' then redis.call('HDEL', log, 'sweep', 'swept') else redis.call('HSET', log, 'sweep', found[1]) end
end

local function forget(log, channels, instances, s)
  if s.now - s.marked > s.keep then markLog(log, instances, s) end
  local old = redis.call('ZCOUNT', channels, '-inf', str(s.floor))
  if old > 0 then redis.call('ZREMRANGEBYRANK', channels, 0, math.min(old, SLICE) - 1) end
  sweepProducers(log)
end
`
