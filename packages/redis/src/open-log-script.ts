/*
 * The log in Redis, layout 2.
 *
 *   {ns}:log        hash    layout, epoch, seq, run, floor, cuts, mark, marked, keep, touched, checked, verified,
 *                           p:<producer>, p:<producer>:<batch mod 16>, sweep, swept, alone
 *   {ns}:channels   zset    channel -> seq of its last message
 *   {ns}:channel:x  stream  <seq>-<time, ms> -> v: prev, p: payload, x: except, b: running bytes of the channel,
 *                           k: what is kept, "<size> <ttl> <maxBytes>", '' if only repairs need it
 *   {ns}:instances  hash    instance -> "<lowest seq in use> <server time, ms>"
 *   {ns}:retention  hash    '' or channel -> "<size> <ttl> <maxBytes>" of managers with history
 *
 * `run` is the identity of the server, "<run_id>/<master_replid>". Another one means that this server's data may be
 * less than what was given out: a new epoch begins, and `cuts` keeps for the last epochs up to where this server
 * knows them ("epoch:seq;..."). Positions up to there are as good as new ones. `checked` is when the identity was
 * last looked at, and `verified` the seq after the last such call of an instance that knew the epoch. A call of one
 * that has just started proves nothing: it may be the first after an older copy was restored in place.
 *
 * `floor` is the highest seq that a channel missing from {ns}:channels can have had; see forget-script.ts.
 *
 * Redis refuses the first write of a script when it is full, but none after that. So a script that writes begins with
 * an HSET on the log: it is refused as a whole, or runs as a whole.
 */

/**
 * Lua that every script of the log begins with.
 *
 * `loadLog(log, ...)` returns the log and the values of more fields. `newEpoch(...)` returns why a new epoch has to
 * begin, or nothing. `beginEpoch(...)` and `saveLog(...)` are for scripts that write. A function that returns a table
 * with `err` as its last value refuses the call: the script returns it.
 */
export const OPEN_LOG: string = `
local LAYOUT = '2'
-- For how long the identity of the server is taken for granted, in ms.
local TRUSTED = 100

local function str(n) return string.format('%.0f', n) end

local function isWrongType(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true)
end

local function loadLog(log, ...)
  local m = redis.pcall('HMGET', log, 'layout', 'epoch', 'seq', 'floor', 'checked', 'verified', 'marked', 'keep',
    'touched', ...)
  if isWrongType(m) then
    return nil, nil, redis.error_reply('WRONGTYPE The key ' .. log .. ' does not hold the log: delete it')
  end
  if m.err then return nil, nil, m end
  if m[2] and m[1] ~= LAYOUT then return nil, nil, redis.error_reply('EVLAYOUT ' .. (m[1] or '1')) end
  local time = redis.call('TIME')
  local s = {
    head = tonumber(m[3]) or 0, epoch = m[2], seq = tonumber(m[3]) or 0, floor = tonumber(m[4]) or 0, checked = tonumber(m[5]) or 0,
    verified = tonumber(m[6]) or 0, marked = tonumber(m[7]) or 0, keep = tonumber(m[8]) or 0,
    touched = tonumber(m[9]) or 0, now = time[1] * 1000 + math.floor(time[2] / 1000),
  }
  -- Times in the future would hold everything up until the clock, which was set back, is there again.
  if s.marked > s.now or s.touched > s.now then
    s.marked, s.touched, s.changed = math.min(s.marked, s.now), math.min(s.touched, s.now), true
  end
  return s, m
end

local function identity()
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  if type(server) ~= 'string' or type(replication) ~= 'string' then return nil end
  local run, replid = string.match(server, 'run_id:(%w+)'), string.match(replication, 'master_replid:(%w+)')
  return (run or '') .. '/' .. (replid or '')
end

-- Returns 'none', 'list' or 'server' if a new epoch has to begin, and an error if that cannot be known.
-- hasList: {ns}:channels is known to exist.
local function newEpoch(log, channels, s, knownEpoch, knownSeq, check, hasList)
  local recent = s.now >= s.checked and s.now - s.checked <= TRUSTED
  if not s.epoch or not recent or check == '1' then
    s.run = identity()
    if not s.run then return nil, redis.error_reply('EVNOINFO') end
  end
  if not s.epoch then return 'none' end
  if not hasList then
    if s.seq > s.floor and redis.call('EXISTS', channels) == 0 then return 'list' end
    if isWrongType(redis.pcall('ZSCORE', channels, '')) then return 'list' end
  end
  s.knows = knownEpoch == s.epoch
  local isBehind = s.knows and tonumber(knownSeq) > s.seq
  -- Data that are behind were loaded in place, and others may have published on top of them.
  s.cut = s.verified
  if s.run then
    local before = redis.call('HGET', log, 'run') or ''
    if before ~= s.run then
      -- The data of another server, or those of this one whose first replica attached. The first call after that looks
      -- at the identity; one that knows nothing cannot tell what came since the last look.
      local isOther = string.match(before, '^[^/]*') ~= string.match(s.run, '^[^/]*')
      if isOther or not isBehind and (s.knows or not recent) then s.cut = s.seq end
      return 'server'
    end
  end
  if isBehind then return 'server' end
end

local function beginEpoch(log, s, why, candidate)
  local m = redis.call('HMGET', log, 'cuts', 'mark')
  s.begun, s.cuts, s.mark, s.run = why, '', tonumber(m[2]) or 0, s.run or identity() or ''
  if why == 'none' then
    s.seq, s.head, s.floor, s.mark, s.marked, s.keep, s.touched = 0, 0, 0, 0, s.now, 0, s.now
  elseif why == 'list' then
    s.floor = s.seq
  else
    local n = 0
    for cut in string.gmatch(s.epoch .. ':' .. str(s.cut) .. ';' .. (m[1] or ''), '[^;]+;') do
      n = n + 1
      if n <= 16 then s.cuts = s.cuts .. cut end
    end
  end
  s.epoch = candidate
end

-- How long metadata is kept: the longest that anybody asks for, and only after that time without anybody who does, less.
local function keepFor(s, asked)
  if asked >= s.keep and (asked > s.keep or s.now - s.touched > 60000)
    or asked < s.keep and s.now - s.touched > s.keep then
    s.keep, s.touched, s.changed = asked, s.now, true
  end
end

-- Saves what the calls above changed; write is redis.call or redis.pcall.
local function saveLog(write, log, channels, s, ...)
  local fields = { 'seq', str(s.seq), ... }
  local function add(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
  if s.begun then
    for name, value in pairs({
      layout = LAYOUT, epoch = s.epoch, run = s.run, floor = str(s.floor), cuts = s.cuts, mark = str(s.mark),
    }) do add(name, value) end
  end
  if s.run then
    add('checked', str(s.now))
    if s.begun or s.knows then add('verified', str(s.seq)) end
  end
  if s.begun or s.changed then
    add('keep', str(s.keep))
    add('touched', str(s.touched))
    add('marked', str(s.marked))
  end
  local done = write('HSET', log, unpack(fields))
  -- What is left of a log that was lost.
  if s.begun and s.begun ~= 'server' then redis.call('DEL', channels) end
  return done
end

local function expireLog(s, ...)
  for _, key in ipairs({ ... }) do redis.call('PEXPIRE', key, str(s.keep * 2)) end
end
`
