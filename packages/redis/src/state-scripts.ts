import type { Script } from './script.js'

/**
 * The operations on states. Each is one script, so it happens as a whole or not at all, and each can run twice:
 * the client library sends unfinished commands again after a reconnect.
 *
 * Values and names are opaque here: they are stored and published as they came. A `PUBLISH` that an ACL forbids
 * must not leave a script half done, hence `pcall`.
 */
const FIELDS = `'v', 's', 'd'`

/** Writes a version of a state and tells everybody. */
const WRITE = `
local function write(key, channel, version, stamp, value)
	redis.call('HSET', key, 'v', version, 's', stamp, 'd', value)
	redis.pcall('PUBLISH', channel, version .. ' ' .. stamp .. ' ' .. value)
	return {version, stamp, value}
end
`

/** Reads a state, and creates it above its tombstone if there is none. */
const LOAD = `${WRITE}
local function load(key, tombstone, channel, stamp, initial)
	local found = redis.call('HMGET', key, ${FIELDS})
	if found[1] then return found end
	local version = string.format('%.0f', (tonumber(redis.call('GET', tombstone)) or 0) + 1)
	local made = write(key, channel, version, stamp, initial)
	redis.call('DEL', tombstone)
	return made
end
`

/** Keys: state, tombstone. Arguments: initial value, stamp, channel. Gives the three fields. */
export const LOAD_STATE: Script = {
	name: 'evstreamLoadState',
	keys: 2,
	lua: `${LOAD}
return load(KEYS[1], KEYS[2], ARGV[3], ARGV[2], ARGV[1])`,
}

/**
 * Keys: state, operation, settling. Arguments: expected version, expected stamp, new stamp, value, number of the
 * operation, expiry of its memory in seconds, channel. Gives 1 and the new version if it wrote; -1 if the state was
 * put back a moment ago; else 1 (it had written before) or 0, and the three fields.
 */
export const COMMIT_STATE: Script = {
	name: 'evstreamCommitState',
	keys: 3,
	lua: `${WRITE}
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
local number = tonumber(ARGV[5])
local done = tonumber(redis.call('GET', KEYS[2])) or 0
if done >= number then return {done == number and 1 or 0, found[1], found[2], found[3]} end
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return {0, found[1], found[2], found[3]} end
if redis.call('EXISTS', KEYS[3]) == 1 then return {-1} end
local version = string.format('%.0f', tonumber(found[1]) + 1)
redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[6])
write(KEYS[1], ARGV[7], version, ARGV[3], ARGV[4])
return {1, version}`,
}

/**
 * Keys: state, tombstone, list, settling. Arguments: version, stamp, value, channel, how long to settle in ms, and
 * either nothing more or name, initial value and the list's channel. Gives the three fields, or nothing if the state was removed.
 */
export const RESTORE_STATE: Script = {
	name: 'evstreamRestoreState',
	keys: 4,
	lua: `${WRITE}
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local found = redis.call('HMGET', KEYS[1], ${FIELDS})
if not found[1] or (tonumber(found[1]) or 0) < tonumber(ARGV[1]) then
	redis.call('SET', KEYS[4], '1', 'PX', ARGV[5])
	found = write(KEYS[1], ARGV[4], ARGV[1], ARGV[2], ARGV[3])
end
if ARGV[6] and redis.call('HSETNX', KEYS[3], ARGV[6], ARGV[7]) == 1 then
	redis.pcall('PUBLISH', ARGV[8], '+')
end
return found`,
}

/**
 * Keys: state, tombstone, list, operation. Arguments: initial value, stamp, channel, name, the list's channel,
 * number of the operation, expiry of its memory in seconds. Gives the three fields, empty if the state was removed
 * since a first run.
 */
export const REGISTER_STATE: Script = {
	name: 'evstreamRegisterState',
	keys: 4,
	lua: `${LOAD}
if (tonumber(redis.call('GET', KEYS[4])) or 0) >= tonumber(ARGV[6]) then
	return redis.call('HMGET', KEYS[1], ${FIELDS})
end
local loaded = load(KEYS[1], KEYS[2], ARGV[3], ARGV[2], ARGV[1])
redis.call('SET', KEYS[4], ARGV[6], 'EX', ARGV[7])
if redis.call('HSETNX', KEYS[3], ARGV[4], ARGV[1]) == 1 then redis.pcall('PUBLISH', ARGV[5], '+') end
return loaded`,
}

/**
 * Keys: state, tombstone, list, operation. Arguments: name, number of the operation, expiry of its memory and of
 * the tombstone in seconds, channel, the list's channel.
 */
export const REMOVE_STATE: Script = {
	name: 'evstreamRemoveState',
	keys: 4,
	lua: `
if (tonumber(redis.call('GET', KEYS[4])) or 0) >= tonumber(ARGV[2]) then return 0 end
local version = redis.call('HGET', KEYS[1], 'v') or redis.call('GET', KEYS[2]) or 0
redis.call('SET', KEYS[2], string.format('%.0f', tonumber(version) or 0), 'EX', ARGV[4])
redis.call('SET', KEYS[4], ARGV[2], 'EX', ARGV[3])
redis.call('DEL', KEYS[1])
local listed = redis.call('HDEL', KEYS[3], ARGV[1])
redis.pcall('PUBLISH', ARGV[5], 'gone')
if listed == 1 then redis.pcall('PUBLISH', ARGV[6], '-') end
return 1`,
}

/** Keys: list. Gives names and initial values in turn, whatever the protocol of the connection. */
export const LIST_STATES: Script = {
	name: 'evstreamListStates',
	keys: 1,
	lua: `return redis.call('HGETALL', KEYS[1])`,
}

export const STATE_SCRIPTS: readonly Script[] = [
	LOAD_STATE,
	COMMIT_STATE,
	RESTORE_STATE,
	REGISTER_STATE,
	REMOVE_STATE,
	LIST_STATES,
]
