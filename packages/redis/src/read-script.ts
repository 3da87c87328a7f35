import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/**
 * Reads the head of the log and entries of channels, at one moment.
 *
 * KEYS: log, channels, a stream for each channel.
 * ARGV: epoch if one has to begin, keep (ms), the most entries of each channel; for each channel its name and either
 * the seq after which to read or "last:<n>".
 * Gives epoch, seq, floor, cuts, and for each channel { its last seq or false, entries { seq, prev, payload, except } }.
 */
export const READ: Script = {
	name: 'evstreamRead',
	lua: `${OPEN_LOG}
local s = openLog(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))
if s.changed then saveLog(KEYS[1], KEYS[2], s) end
local limit = tonumber(ARGV[3])
local reply = { s.epoch, str(s.seq), str(s.floor), s.cuts }
for i = 3, #KEYS do
  local at = 4 + (i - 3) * 2
  local last = redis.call('ZSCORE', KEYS[2], ARGV[at])
  local entries = {}
  if last then
    local newest = string.match(ARGV[at + 1], '^last:(%d+)$')
    local found
    if newest == '0' then
      found = {}
    elseif newest then
      found = redis.pcall('XREVRANGE', KEYS[i], '+', '-', 'COUNT', math.min(tonumber(newest), limit))
    elseif tonumber(ARGV[at + 1]) < tonumber(last) then
      found = redis.pcall('XRANGE', KEYS[i], str(tonumber(ARGV[at + 1]) + 1) .. '-0', '+', 'COUNT', limit)
    else
      found = {}
    end
    -- Of a key that somebody spoilt there are no entries (an error has none): those who miss some are told.
    for n, entry in ipairs(found) do
      local fields = {}
      for f = 1, #entry[2], 2 do fields[entry[2][f]] = entry[2][f + 1] end
      entries[n] = { string.match(entry[1], '^%d+'), fields.v or '0', fields.p or '', fields.x or '' }
    end
  end
  reply[#reply + 1] = { last, entries }
end
return reply
`,
}
