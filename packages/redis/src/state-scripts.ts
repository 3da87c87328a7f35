import type { Script } from './script.js'

/**
 * The operations on states. Each is one script, so it happens as a whole or not at all. Each can run again at any
 * time later, as a late copy, and then does nothing: it carries the version and the stamp, the incarnation, or the
 * tombstone and the time that it was decided on.
 *
 * Values and names are opaque here: they are stored and published as they came. A `PUBLISH` that an ACL forbids
 * must not leave a script half done, hence `pcall`.
 */

/** The fields of a state: version, stamp, value, incarnation. One of an earlier release has no incarnation. */
const FIELDS = `'v', 's', 'd', 'b'`

/** Milliseconds since 1970, by the server's clock. */
const NOW = `
local function now()
	local time = redis.call('TIME')
	return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
`

/** Writes a version of a state and tells everybody. */
const WRITE = `
local function write(key, channel, version, stamp, value, born)
	redis.call('HSET', key, 'v', version, 's', stamp, 'd', value, 'b', born)
	redis.pcall('PUBLISH', channel, version .. ' ' .. stamp .. ' ' .. born .. ' ' .. value)
	return {version, stamp, value, born}
end
`

/** A tombstone is `<version> <incarnation>`; one of an earlier release has the version alone. */
const TOMBSTONE = `
local function tombstone(key)
	local text = redis.call('GET', key) or ''
	return tonumber(string.match(text, '^%d+')) or 0, string.match(text, ' (.+)$') or '-', text ~= ''
end
`

/**
 * The stamp of the list is the last change with the number of names, which shows a change by an earlier release.
 * A change publishes `<stamp before> <stamp after> <name>`.
 */
const LIST = `
local function list_stamp(list, change)
	return (redis.call('GET', change) or '') .. ':' .. redis.call('HLEN', list)
end
local function list_changed(list, change, channel, name, before, stamp)
	redis.call('SET', change, stamp)
	redis.pcall('PUBLISH', channel, before .. ' ' .. list_stamp(list, change) .. ' ' .. name)
end
local function enlist(list, change, channel, name, initial, stamp)
	local before = list_stamp(list, change)
	if redis.call('HSETNX', list, name, initial) == 1 then
		list_changed(list, change, channel, name, before, stamp)
	end
end
`

/**
 * Keys: state, tombstone, list. Arguments: name. Gives 1 if the state's key holds something of another type, else
 * 0; the version of the tombstone and whether there is one; the time; what the name is listed with; the four fields.
 */
export const LOOK_AT_STATE: Script = {
	name: 'evstreamLookAtState',
	keys: 3,
	lua: `${NOW}${TOMBSTONE}
local found = redis.pcall('HMGET', KEYS[1], ${FIELDS})
if found.err and not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
local version, _, removed = tombstone(KEYS[2])
return {
	found.err and 1 or 0, string.format('%.0f', version), removed and 1 or 0, string.format('%.0f', now()),
	redis.call('HGET', KEYS[3], ARGV[1]), found[1], found[2], found[3], found[4]
}`,
}

/**
 * Keys: state, tombstone, list, change of the list. Arguments: initial value, stamp, channel, the version
 * that it gets, when it was looked at, how old that may be in ms, 1 if it is listed, name, the list's channel,
 * stamp of the change. Gives 1 and the four fields; 0 if the state was removed since it was looked at; -1 if that
 * is too long ago.
 */
export const CREATE_STATE: Script = {
	name: 'evstreamCreateState',
	keys: 4,
	lua: `${NOW}${WRITE}${TOMBSTONE}${LIST}
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
if not found[1] then
	if math.abs(now() - tonumber(ARGV[5])) > tonumber(ARGV[6]) then return {-1} end
	if tombstone(KEYS[2]) >= tonumber(ARGV[4]) then return {0} end
	found = write(KEYS[1], ARGV[3], ARGV[4], ARGV[2], ARGV[1], ARGV[2])
	redis.call('DEL', KEYS[2])
end
if ARGV[7] == '1' then enlist(KEYS[3], KEYS[4], ARGV[9], ARGV[8], ARGV[1], ARGV[10]) end
return {1, found[1], found[2], found[3], found[4]}`,
}

/**
 * Keys: state, operation, settling. Arguments: expected version, expected stamp, writer, number of the operation,
 * value, expiry of its memory in seconds, channel, how long the writer gets the next turn if it lost, the longest
 * turn in ms. Gives 1 and the new version if it wrote; -1 if the state was put back a moment ago; -2 and the time
 * left if it is another writer's turn; else 1 (it had written before) or 0, and the four fields.
 *
 * The turn is kept in the state's fields `t` (writer) and `u` (until when), so that one read tells of it.
 */
export const COMMIT_STATE: Script = {
	name: 'evstreamCommitState',
	keys: 3,
	lua: `${NOW}${WRITE}
local found = redis.call('HMGET', KEYS[1], ${FIELDS}, 't', 'u')
local writer, number = ARGV[3], tonumber(ARGV[4])
local done = tonumber(redis.call('GET', KEYS[2])) or 0
if done >= number then return {done == number and 1 or 0, found[1], found[2], found[3], found[4]} end
local left = 0
if found[5] then
	left = (tonumber(found[6]) or 0) - now()
	if left > tonumber(ARGV[9]) then left = 0 end
end
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then
	if found[1] and left <= 0 and tonumber(ARGV[8]) > 0 then
		redis.pcall('HSET', KEYS[1], 't', writer, 'u', string.format('%.0f', now() + tonumber(ARGV[8])))
	end
	return {0, found[1], found[2], found[3], found[4]}
end
if redis.call('EXISTS', KEYS[3]) == 1 then return {-1} end
if left > 0 and found[5] ~= writer then return {-2, left} end
local version = string.format('%.0f', tonumber(found[1]) + 1)
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[6])
if found[5] then redis.call('HDEL', KEYS[1], 't', 'u') end
write(KEYS[1], ARGV[7], version, writer .. '.' .. ARGV[4], ARGV[5], found[4] or '-')
return {1, version}`,
}

/**
 * Keys: state, tombstone, list, settling, change of the list. Arguments: version, stamp, value, incarnation,
 * channel, how long to settle in ms, when this was decided, how old that may be in ms, and either nothing more or
 * name, initial value, the list's channel, stamp of the change. Gives 1 and the four fields; 0 if the state was
 * removed; -1 if it was decided too long ago.
 */
export const RESTORE_STATE: Script = {
	name: 'evstreamRestoreState',
	keys: 5,
	lua: `${NOW}${WRITE}${TOMBSTONE}${LIST}
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
local given = tonumber(ARGV[1])
if not found[1] or (tonumber(found[1]) or 0) < given then
	if math.abs(now() - tonumber(ARGV[7])) > tonumber(ARGV[8]) then return {-1} end
	local version, born, removed = tombstone(KEYS[2])
	if not found[1] and removed and (version >= given or born == ARGV[4]) then return {0} end
	redis.call('SET', KEYS[4], '1', 'PX', ARGV[6])
	found = write(KEYS[1], ARGV[5], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
	redis.call('DEL', KEYS[2])
end
if ARGV[9] then enlist(KEYS[3], KEYS[5], ARGV[11], ARGV[9], ARGV[10], ARGV[12]) end
return {1, found[1], found[2], found[3], found[4]}`,
}

/**
 * Keys: state, tombstone, list, change of the list. Arguments: name, incarnation and version that are meant, expiry
 * of the tombstone in seconds, channel, the list's channel, stamp of the change. Gives 1; 0 if the state is another
 * incarnation.
 *
 * A full Redis takes `DEL`, and after a first write it takes the other writes of a script too.
 */
export const REMOVE_STATE: Script = {
	name: 'evstreamRemoveState',
	keys: 4,
	lua: `${TOMBSTONE}${LIST}
local found = redis.pcall('HMGET', KEYS[1], 'v', 'b')
if found.err and not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
local stored = not found.err and string.match(found[1] or '', '^[1-9]%d*$')
if stored and (found[2] or '-') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
local version = math.max(tonumber(ARGV[3]), tonumber(stored or '0'))
if version > tombstone(KEYS[2]) then
	redis.call('SET', KEYS[2], string.format('%.0f', version) .. ' ' .. ARGV[2], 'EX', ARGV[4])
end
local before = list_stamp(KEYS[3], KEYS[4])
local listed = redis.call('HDEL', KEYS[3], ARGV[1])
redis.pcall('PUBLISH', ARGV[5], 'gone')
if listed == 1 then list_changed(KEYS[3], KEYS[4], ARGV[6], ARGV[1], before, ARGV[7]) end
return 1`,
}

/**
 * Keys: list, change of the list. Arguments: the stamp that the caller has. Gives nothing if that is the stamp;
 * else the stamp, and names and initial values in turn, whatever the protocol of the connection.
 */
export const LIST_STATES: Script = {
	name: 'evstreamListStates',
	keys: 2,
	lua: `${LIST}
local stamp = list_stamp(KEYS[1], KEYS[2])
if stamp == ARGV[1] then return false end
return {stamp, redis.call('HGETALL', KEYS[1])}`,
}

export const STATE_SCRIPTS: readonly Script[] = [
	LOOK_AT_STATE,
	CREATE_STATE,
	COMMIT_STATE,
	RESTORE_STATE,
	REMOVE_STATE,
	LIST_STATES,
]
