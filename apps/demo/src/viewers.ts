import { EvState, type EvStateAdapter, type EvStreamManager } from 'evstream'
import type { DemoChannels } from './channels.js'

/** What each instance last said about itself. */
export type Viewers = Record<string, { readonly streams: number; readonly at: number }>

/** An instance that has been silent for so many beats is not counted any more. */
const STALE = 3

export interface ViewerCountOptions {
	readonly manager: EvStreamManager<DemoChannels>
	readonly adapter: EvStateAdapter | undefined
	readonly instance: string
	/** How often the instance says that it is alive, in ms. Default 5000. */
	readonly beat?: number | undefined
}

export interface ViewerCount {
	/** What all instances say, as far as this one knows. */
	all(): Viewers
	/** Counts one viewer, until the returned function is called. */
	enter(): () => void
	close(): Promise<void>
}

/**
 * The number of open pages, as a state on the channel `viewers`.
 *
 * One shared number would be simpler, but an instance that is killed never subtracts its part. So each instance
 * owns one entry and signs it with the time; whoever writes drops the entries of instances that fell silent. (The
 * instances' clocks must agree within a few seconds.)
 */
export function countViewers({ manager, adapter, instance, beat = 5_000 }: ViewerCountOptions): ViewerCount {
	const state = new EvState<Viewers>({
		channel: 'viewers',
		key: 'instances',
		initialValue: {},
		manager,
		adapter,
		// An older count is of no use to anybody.
		deadline: beat,
	})
	let streams = 0
	const report = () => {
		const at = Date.now()
		const alive = (all: Viewers) => Object.entries(all).filter(([, entry]) => at - entry.at < STALE * beat)
		state.set((all) => ({ ...Object.fromEntries(alive(all)), [instance]: { streams, at } }))
	}
	report()
	const timer = adapter === undefined ? undefined : setInterval(report, beat).unref()

	return {
		all: () => state.get(),
		enter() {
			streams++
			report()
			return () => {
				streams--
				report()
			}
		},
		async close() {
			clearInterval(timer)
			const leaving = state.set(({ [instance]: _own, ...others }) => others)
			await leaving.catch(() => undefined)
			state.close()
		},
	}
}
