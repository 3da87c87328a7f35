import type { Random } from './random.js'
import type { Visit } from './visit.js'
import type { ClientPlan } from './world.js'

/** A client over all its visits. */
export class Client {
	readonly visits: Visit[] = []
	readonly random: Random
	#epoch = 'none'

	constructor(
		readonly plan: ClientPlan,
		random: Random,
	) {
		this.random = random.fork(plan.name)
	}

	get visit(): Visit | undefined {
		return this.visits.at(-1)
	}

	/** It may come, again. */
	get isAway(): boolean {
		return this.visit === undefined || this.visit.isFinished
	}

	/** The id it comes with: mostly its last one, sometimes none or one that nobody gave out. */
	nextId(): string | undefined {
		const id = this.visit?.lastEventId
		if (id !== undefined) this.#epoch = id.slice(0, id.lastIndexOf('-'))
		const { random } = this
		if (random.chance(0.03)) return random.pick(['nonsense', 'other-3', `${this.#epoch}-99999999`])
		return random.chance(0.05) ? undefined : id
	}
}
