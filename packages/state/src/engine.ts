/** What holds the value of an `EvState`: {@link "local-value"} or {@link "shared-value"}. */
export interface Engine<T> {
	readonly version: number
	readonly ready: Promise<void>
	readonly closed: boolean
	get(): T
	set(run: (value: T) => T): Promise<T>
	close(): void
}
