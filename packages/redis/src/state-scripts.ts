import type { Script } from './script.js'

/**
 * The operations on states. Each is one script, so it happens as a whole or not at all. Each can run again at any
 * time later, as a late copy, and then does nothing: it carries the version and the stamp, the incarnation, or the
 * tombstone and the time that it was decided on.
 *
 * Redis keeps what a script wrote before a command of it failed: a key of another type, a command that an ACL forbids.
 * So each script reads every key before its first write, and orders its writes so that a repetition completes them. A
 * `PUBLISH` that an ACL forbids must not leave a script half done, hence `pcall`.
 *
 * Values and names are opaque here: they are stored and published as they came.
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

/** How a script says which key holds something of another type: Redis itself does not name it. */
const MARK = /EVKEY <(.+)>/s

/** The key that made a script fail because it holds something of another type; `undefined` if none did. */
export function spoiltKey(message: string): string | undefined {
	return MARK.exec(message)?.[1]
}

/** Reads a key beside the state, by its number. */
const READ = `
local function read(command, at, ...)
	local reply = redis.pcall(command, KEYS[at], ...)
	if type(reply) == 'table' and reply.err then
		if string.find(reply.err, 'WRONGTYPE', 1, true) then error('EVKEY <' .. KEYS[at] .. '>', 0) end
		return redis.call(command, KEYS[at], ...)
	end
	return reply
end
`

/** Writes a version of a state and tells everybody. */
const WRITE = `
local function publish(channel, version, stamp, value, born)
	redis.pcall('PUBLISH', channel, version .. ' ' .. stamp .. ' ' .. born .. ' ' .. value)
end
local function write(key, channel, version, stamp, value, born)
	redis.call('HSET', key, 'v', version, 's', stamp, 'd', value, 'b', born)
	publish(channel, version, stamp, value, born)
	return {version, stamp, value, born}
end
`

/** A tombstone is `<version> <incarnation>`; one of an earlier release has the version alone. */
const TOMBSTONE = `
local function tombstone(at)
	local text = read('GET', at) or ''
	return tonumber(string.match(text, '^%d+')) or 0, string.match(text, ' (.+)$') or '-', text ~= ''
end
`

/**
 * The stamp of the list is the last change with the number of names, which shows a change by an earlier release.
 * A change publishes `<stamp before> <stamp after> <name>`.
 */
const LIST = `
local function list_stamp(list, change)
	return (read('GET', change) or '') .. ':' .. read('HLEN', list)
end
local function list_changed(list, change, channel, name, before, stamp)
	redis.call('SET', KEYS[change], stamp)
	redis.pcall('PUBLISH', channel, before .. ' ' .. list_stamp(list, change) .. ' ' .. name)
end
local function enlist(list, change, channel, name, initial, before, stamp)
	if redis.call('HSETNX', KEYS[list], name, initial) == 1 then
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
	lua: `${NOW}${READ}${TOMBSTONE}
local found = redis.pcall('HMGET', KEYS[1], ${FIELDS})
if found.err and not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
local version, _, removed = tombstone(2)
return {
	found.err and 1 or 0, string.format('%.0f', version), removed and 1 or 0, string.format('%.0f', now()),
	read('HGET', 3, ARGV[1]), found[1], found[2], found[3], found[4]
}`,
}

/**
 * Keys: state, tombstone, list, change of the list. Arguments: initial value, stamp, channel, the version
 * that it gets, when it was looked at, how old that may be in ms, 1 if it is listed, name, the list's channel,
 * stamp of the change, the incarnation that was seen or nothing. Gives 1 and the four fields; 0 if the state was
 * removed since it was looked at; -1 if that is too long ago.
 *
 * A state that exists is listed if it is the one that was seen; if none was, it must have been created at the same
 * time, and so with the same version: each removal raises that. The stamp `create.<version>.…` tells it.
 */
export const CREATE_STATE: Script = {
	name: 'evstreamCreateState',
	keys: 4,
	lua: `${NOW}${READ}${WRITE}${TOMBSTONE}${LIST}
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
local removed = tombstone(2)
local before = ARGV[7] == '1' and list_stamp(3, 4)
local late = math.abs(now() - tonumber(ARGV[5])) > tonumber(ARGV[6])
local meant = true
if not found[1] then
	if late then return {-1} end
	if removed >= tonumber(ARGV[4]) then return {0} end
	found = write(KEYS[1], ARGV[3], ARGV[4], ARGV[2], ARGV[1], ARGV[2])
	redis.call('DEL', KEYS[2])
elseif ARGV[11] ~= '' then
	meant = (found[4] or '-') == ARGV[11]
else
	meant = not late and string.match(found[4] or '', '^create%.(%d+)%.') == ARGV[4]
end
if before and meant then enlist(3, 4, ARGV[9], ARGV[8], ARGV[1], before, ARGV[10]) end
return {1, found[1], found[2], found[3], found[4]}`,
}

/**
 * Keys: state, operation, settling. Arguments: expected version, expected stamp, writer, number of the operation,
 * value, expiry of its memory in seconds, channel, how long the writer gets the next turn if it lost, the longest
 * turn in ms. Gives 1 and the new version if it wrote; -1 if the state was put back a moment ago; -2 and the time
 * left if it is another writer's turn; else 1 (it had written before) or 0, and the four fields.
 *
 * An operation is remembered only together with its value: if the value cannot be written, the memory is what it was.
 *
 * The turn is kept in the state's fields `t` (writer) and `u` (until when), so that one read tells of it.
 */
export const COMMIT_STATE: Script = {
	name: 'evstreamCommitState',
	keys: 3,
	lua: `${NOW}${READ}${WRITE}
local found = redis.call('HMGET', KEYS[1], ${FIELDS}, 't', 'u')
local writer, number = ARGV[3], tonumber(ARGV[4])
local done = tonumber(read('GET', 2) or '') or 0
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
local stamp, born = writer .. '.' .. ARGV[4], found[4] or '-'
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[6])
local written = redis.pcall('HSET', KEYS[1], 'v', version, 's', stamp, 'd', ARGV[5], 'b', born)
if type(written) == 'table' and written.err then
	redis.call('SET', KEYS[2], string.format('%.0f', done), 'EX', ARGV[6])
	return written
end
if found[5] then redis.pcall('HDEL', KEYS[1], 't', 'u') end
publish(ARGV[7], version, stamp, ARGV[5], born)
return {1, version}`,
}

/**
 * Keys: state, tombstone, list, settling, change of the list. Arguments: version, stamp, value, incarnation,
 * channel, how long to settle in ms, when this was decided, how old that may be in ms, and either nothing more or
 * name, initial value, the list's channel, stamp of the change, the incarnation that is listed if the state exists.
 * Gives 1 and the four fields; 0 if the state was removed; -1 if it was decided too long ago.
 */
export const RESTORE_STATE: Script = {
	name: 'evstreamRestoreState',
	keys: 5,
	lua: `${NOW}${READ}${WRITE}${TOMBSTONE}${LIST}
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
local version, born, removed = tombstone(2)
local before = ARGV[9] and list_stamp(3, 5)
local given = tonumber(ARGV[1])
local meant = found[1] and (found[4] or '-') == ARGV[13]
if not found[1] or (tonumber(found[1]) or 0) < given then
	if math.abs(now() - tonumber(ARGV[7])) > tonumber(ARGV[8]) then return {-1} end
	if not found[1] and removed and (version >= given or born == ARGV[4]) then return {0} end
	redis.call('SET', KEYS[4], '1', 'PX', ARGV[6])
	found = write(KEYS[1], ARGV[5], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
	redis.call('DEL', KEYS[2])
	meant = true
end
if before and meant then enlist(3, 5, ARGV[11], ARGV[9], ARGV[10], before, ARGV[12]) end
return {1, found[1], found[2], found[3], found[4]}`,
}

/**
 * Keys: state, tombstone, list, change of the list. Arguments: name, incarnation and version that are meant, expiry
 * of the tombstone in seconds, channel, the list's channel, stamp of the change. Gives 1; 0 if the state is another
 * incarnation.
 *
 * A full Redis takes `HDEL`, and after a first write it takes the other writes of a script too: so the turn goes
 * first. A tombstone beside a state means nothing, so it comes before the state goes.
 */
export const REMOVE_STATE: Script = {
	name: 'evstreamRemoveState',
	keys: 4,
	lua: `${READ}${TOMBSTONE}${LIST}
local found = redis.pcall('HMGET', KEYS[1], 'v', 'b')
if found.err and not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
local stored = not found.err and string.match(found[1] or '', '^[1-9]%d*$')
if stored and (found[2] or '-') ~= ARGV[2] then return 0 end
local removed = tombstone(2)
local before = list_stamp(3, 4)
local turn = redis.pcall('HDEL', KEYS[1], 't', 'u')
if type(turn) == 'table' and turn.err and not found.err then return turn end
local version = math.max(tonumber(ARGV[3]), tonumber(stored or '0'))
if version > removed then
	redis.call('SET', KEYS[2], string.format('%.0f', version) .. ' ' .. ARGV[2], 'EX', ARGV[4])
end
redis.call('DEL', KEYS[1])
local listed = redis.call('HDEL', KEYS[3], ARGV[1])
redis.pcall('PUBLISH', ARGV[5], 'gone')
if listed == 1 then list_changed(3, 4, ARGV[6], ARGV[1], before, ARGV[7]) end
return 1`,
}

/**
 * Keys: list, change of the list. Arguments: the stamp that the caller has. Gives nothing if that is the stamp;
 * else the stamp, and names and initial values in turn, whatever the protocol of the connection.
 */
export const LIST_STATES: Script = {
	name: 'evstreamListStates',
	keys: 2,
	lua: `${READ}${LIST}
local stamp = list_stamp(1, 2)
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
