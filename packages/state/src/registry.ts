import type { EvStateAdapter } from '@evstream/core'

/** What a registry does to the states of this instance. None of it throws. */
export interface LocalStates {
	/** Whether there is an open state of that name. */
	has(name: string): boolean
	/** Creates a state that another instance created. `initial` is JSON; `undefined` stands for itself. */
	follow(name: string, initial: string | undefined): void
	/** Lets go of a state that another instance removed. */
	drop(name: string): void
}

/** Keeps the set of states the same on all instances. */
export interface Registry {
	/**
	 * The adapter a state is to be made with.
	 *
	 * @param follows - Another instance created it.
	 */
	adapter(name: string, follows: boolean): EvStateAdapter | undefined
	/** A state was created here. `initial` is JSON. */
	created(name: string, initial: string | undefined): void
	/** A state was removed here. */
	remove(name: string): void
	close(): void
}
