import { Random } from './random.js'

export const TRANSPORTS = ['http', 'wrapped', 'compressed', 'https', 'h2c', 'h2', 'web'] as const
export type TransportName = (typeof TRANSPORTS)[number]

/** What kind of client visits. */
export type ClientKind =
	/** Reads everything at once. */
	| 'reading'
	/** Stops reading after some events, or never begins, until the driver lets it go on. */
	| 'paused'
	/** Reads one piece each time the driver lets it. */
	| 'slow'
	/** Reads a piece every few milliseconds. */
	| 'steady'
	/** Reads at once and is cut at an event or a byte; comes back with its last id. */
	| 'cut'
	/** Asks by HEAD. */
	| 'head'
	/** Leaves while `verify` decides. */
	| 'leaver'
	/** Is answered 204 or 304, which have no body. */
	| 'nobody'
	/** The app's wrapper of its response throws. */
	| 'thrower'
	/** Waits on its connection behind a response that does not end. */
	| 'pipelined'

export interface ClientPlan {
	readonly name: string
	readonly bit: number
	readonly kind: ClientKind
	/** Overrides the manager's option for its streams. */
	readonly maxBuffer: number | undefined
	/** The channels it listens to in the first tick of each visit. */
	readonly channels: readonly string[]
	/** How many of the newest messages it asks for when it comes without a position. */
	readonly last: number
	/** Its callbacks send, listen, unlisten, close or throw. */
	readonly acts: boolean
	/** Bytes of direct messages that greet it before it listens. */
	readonly greeting: number
	/** Has to pass `verify`, which takes some turns. */
	readonly verified: boolean
	/** Listens to one more channel some turns later. */
	readonly late: string | undefined
}

/** All choices of one seed that are made before it begins. */
export interface World {
	readonly seed: number
	readonly random: Random
	readonly transport: TransportName
	readonly history: 'none' | 'ample' | 'scarce'
	/** Messages that are kept of a channel. */
	readonly size: number
	readonly slow: 'disconnect' | 'drop'
	readonly maxBuffer: number
	readonly stallTimeout: number
	/** What large messages are measured by. */
	readonly scale: number
	/** Waits for clients that read before it sends more than they may owe. */
	readonly paced: boolean
	readonly channels: readonly string[]
	/** A channel with a provider, whose snapshots and broadcasts are conflated. */
	readonly state: string | undefined
	readonly clients: readonly ClientPlan[]
	/** Messages that are sent before any client comes. */
	readonly preload: number
	readonly steps: number
	/** When the manager is closed: after so many steps. */
	readonly closeAt: number
	readonly drainMs: number
	/** Paused clients stay paused while the manager closes. */
	readonly leavePaused: boolean
}

const NODE_KINDS: Readonly<Record<ClientKind, number>> = {
	reading: 26,
	paused: 24,
	slow: 10,
	steady: 1,
	cut: 26,
	head: 3,
	leaver: 3,
	nobody: 1.5,
	thrower: 3,
	pipelined: 0,
}

/** What the seed says; `only` restricts the transports. */
export function drawWorld(seed: number, only: readonly TransportName[] = TRANSPORTS): World {
	const random = new Random(seed)
	const transport = random.pick(only)
	const history = random.pick(['none', 'ample', 'ample', 'scarce'] as const)
	const hasStall = random.chance(0.03)
	const maxBuffer = random.pick([600, 4_000, 4_000, 16_000, 64_000, 200_000, 1_048_576])
	const channels = ['a', 'b', 'c', 'd'].slice(0, random.int(1, 4))
	const steps = random.int(10, 40)
	const clients = Array.from({ length: random.int(1, 6) }, (_, index): ClientPlan => {
		const own = random.fork(`client ${index}`)
		const listened = channels.filter(() => own.chance(0.65))
		return {
			name: `c${index}`,
			bit: 1 << index,
			kind: hasStall && index === 0 ? 'steady' : kindOf(own, transport),
			maxBuffer: own.chance(0.25) ? own.pick([1_000, 20_000, 300_000, 1 << 26]) : undefined,
			channels: listened.length > 0 ? listened : channels.slice(0, 1),
			last: history !== 'none' && own.chance(0.3) ? own.pick([1, 3, 20, 1_000]) : 0,
			acts: own.chance(0.35),
			greeting: own.chance(0.25) ? own.pick([50, 5_000, 100_000, 400_000]) : 0,
			verified: own.chance(0.1),
			late: own.chance(0.2) ? own.pick(channels) : undefined,
		}
	})
	return {
		seed,
		random,
		transport,
		history,
		size: history === 'scarce' ? random.pick([1, 2, 5, 20]) : 100_000,
		slow: random.pick(['disconnect', 'drop']),
		maxBuffer,
		// No less: the kernel tells of room on a socket only when a third of its buffer is free.
		stallTimeout: hasStall ? random.pick([300, 400]) : 30_000,
		scale: hasStall ? 1_500_000 : random.pick([200, 3_000, 12_000, 40_000]),
		paced: hasStall || random.chance(0.75),
		channels,
		state: random.chance(0.3) ? 'state' : undefined,
		clients,
		preload: random.chance(0.6) ? random.int(1, 40) : 0,
		steps: hasStall ? 12 : steps,
		closeAt: random.chance(0.1) ? random.int(1, steps) : steps,
		drainMs: random.chance(0.15) ? random.int(1, 30) : 0,
		leavePaused: random.chance(0.02),
	}
}

function kindOf(random: Random, transport: TransportName): ClientKind {
	const plain = transport === 'http' || transport === 'wrapped'
	const isWeb = transport === 'web'
	return random.weighted({
		...NODE_KINDS,
		nobody: isWeb ? 0 : NODE_KINDS.nobody,
		thrower: isWeb ? 0 : NODE_KINDS.thrower,
		pipelined: plain ? 0.4 : 0,
	})
}

/** One line that says what the world is. */
export function describeWorld(world: World): string {
	const { transport, history, size, slow, maxBuffer, stallTimeout, scale, paced, state, drainMs } = world
	const facts = { history, size, slow, maxBuffer, stallTimeout, scale, paced, state, drainMs }
	const clients = world.clients.map(
		({ name, kind, channels, last, maxBuffer: own, acts, greeting, verified, late }) =>
			`\n  ${name} ${kind} ${channels.join('')} ${JSON.stringify({ last, maxBuffer: own, acts, greeting, verified, late })}`,
	)
	return `seed ${world.seed}: ${transport} ${JSON.stringify(facts)}${clients.join('')}`
}
