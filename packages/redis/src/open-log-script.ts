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
export const OPEN_LOG: string = `
local function str(n) return string.format('%.0f', n) end

local function openLog(log, channels, candidate, keep)
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
    state.floor = math.max(state.floor, state.mark)
    redis.call('ZREMRANGEBYSCORE', channels, '-inf', str(state.mark))
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
