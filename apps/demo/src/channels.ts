import type { Viewers } from './viewers.js'

/** One message of the board. */
export interface Post {
	readonly name: string
	readonly text: string
	/** When the server took it, in ms since 1970. */
	readonly at: number
}

/** The channels of the demo and what travels on them: with this the manager's `send` and `listen` are typed. */
export type DemoChannels = {
	board: Post
	clock: { now: number }
	viewers: { instances: Viewers }
}
