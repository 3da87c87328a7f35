import type { Cluster, Redis } from 'ioredis'

/** A Lua script as a command of the client. All keys of one call must lie in one Cluster slot. */
export interface Script {
	/** The command's name on the client. */
	readonly name: string
	/** How many of its arguments are keys; without it each call says so. */
	readonly keys?: number | undefined
	readonly lua: string
}

/**
 * Makes the scripts commands of the client: sent by their hash, and whole if Redis does not know them (any more).
 *
 * @see {@link https://redis.io/docs/latest/commands/evalsha/}
 */
export function defineScripts(client: Redis | Cluster, scripts: readonly Script[]): void {
	for (const { name, keys, lua } of scripts) {
		client.defineCommand(name, keys === undefined ? { lua } : { lua, numberOfKeys: keys })
	}
}

/** Runs a script that {@link defineScripts} has made a command. */
export async function runScript(
	client: Redis | Cluster,
	script: Script,
	keys: readonly string[],
	args: readonly (string | number)[],
): Promise<unknown> {
	const command: unknown = Reflect.get(client, script.name)
	if (typeof command !== 'function') throw new TypeError(`The client does not offer ${script.name}.`)
	const counted = script.keys === undefined ? [keys.length, ...keys] : keys
	return Reflect.apply(command, client, [...counted, ...args])
}
