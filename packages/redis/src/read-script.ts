import { OPEN_LOG } from './open-log-script.js'
import type { Script } from './script.js'

/**
 * Reads the head of the log and entries of channels, at one moment. Never writes.
 *
 * KEYS: log, channels, a stream for each channel.
 * ARGV: known epoch, known seq, check, the most entries of each channel; for each channel its name and either the seq
 * after which to read or "last:<n>".
 *
 * Returns epoch, seq, floor, cuts, and for each channel { its last seq or false, entries { seq, prev, payload, except } }.
 * Errors: EVBEGIN if an epoch has to begin first, and those of OPEN_LOG.
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
local limit = tonumber(ARGV[4])
local reply = { s.epoch, str(s.seq), str(s.floor), fields[10] or '' }
for i = 3, #KEYS do
  local at = 5 + (i - 3) * 2
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
