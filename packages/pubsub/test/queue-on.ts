import type { Cluster, Redis } from 'ioredis'
import type { CommandLane } from '../src/command-lane.js'
import { CommandQueue } from '../src/command-queue.js'

export interface QueueSetup {
	readonly queue: CommandQueue
	readonly lane: CommandLane
	/** Errors of commands, `silence` and `resume`, in order. */
	readonly events: string[]
}

export interface QueueOptions {
	readonly owned?: boolean
	readonly limit?: number
	readonly answerTimeout?: number
}

/** A queue on a client, with one lane. A client of the queue's own keeps no command when its connection breaks. */
export function queueOn(
	client: Redis | Cluster,
	{ owned = false, limit = 10, answerTimeout = 60_000 }: QueueOptions = {},
): QueueSetup {
	const events: string[] = []
	const queue = new CommandQueue(
		{ client, owned, keepsUnanswered: !owned, answerTimeout },
		{
			onError: (error) => events.push(String(error)),
			onSilence: () => events.push('silence'),
			onResume: () => events.push('resume'),
		},
	)
	return { queue, lane: queue.lane(limit), events }
}
