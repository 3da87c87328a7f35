import { type Mock, onTestFinished, vi } from 'vitest'
import type { PeerMessage, PeerPage, PeerRecord, Stamp } from '../src/peer-messages.js'
import { PeerRegistry } from '../src/peer-registry.js'

/** Some turns of the event loop: what is to be sent at once has been sent. */
export const turn = async (): Promise<void> => {
	for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve))
}

export const NOW: number = Date.now()

/** So many ms after this file was loaded: older than a week is forgotten. */
export const after = (ms: number, by = 'x'): Stamp => ({ time: NOW + ms, by })

/** A registry whose pub/sub is the test, and the states of its instance as names. */
export interface PeerSetup {
	readonly registry: PeerRegistry
	readonly local: {
		has(name: string): boolean
		follow: Mock<(name: string, initial: string | undefined) => void>
		drop: Mock<(name: string) => void>
	}
	readonly onError: Mock<(error: unknown) => void>
	/** `fails`: nothing can be sent. */
	readonly at: { fails: boolean }
	readonly sent: PeerMessage[]
	/** What was sent since it was asked last. */
	news(): PeerMessage[]
	/** Waits for all pages of an answer, and takes them as one. */
	answer(): Promise<PeerPage>
	/** A message of another instance. */
	receive(message: unknown): void
	/** The subscription is back. */
	restore(): void
	/** Whether it still listens to messages, and to the subscription. */
	isHandler(): boolean
	hasRestored(): boolean
	create(name: string, initial?: string): void
	remove(name: string): void
}

export function setUp({
	checkInterval = false,
	ready,
}: {
	checkInterval?: number | false
	ready?: Promise<void>
} = {}): PeerSetup {
	const sent: PeerMessage[] = []
	const at = { fails: false }
	let handler: (message: unknown) => void = () => {}
	let restored: (() => void) | undefined
	const pubsub = {
		ready,
		send: async (message: unknown): Promise<void> => {
			if (at.fails) throw new Error('away')
			// A registry sends nothing else.
			sent.push(message as PeerMessage)
		},
		onMessage: (callback: (message: unknown) => void) => {
			handler = callback
		},
		onRestored: (callback: () => void) => {
			restored = callback
			return () => {
				restored = undefined
			}
		},
	}
	const open = new Set<string>()
	const local: PeerSetup['local'] = {
		has: (name) => open.has(name),
		follow: vi.fn((name: string) => void open.add(name)),
		drop: vi.fn((name: string) => void open.delete(name)),
	}
	const onError = vi.fn<(error: unknown) => void>()
	const registry = new PeerRegistry(pubsub, local, checkInterval, onError)
	const first = handler
	onTestFinished(() => registry.close())
	return {
		registry,
		local,
		onError,
		at,
		sent,
		news: () => sent.splice(0),
		answer: async () => {
			const states: PeerRecord[] = []
			for (;;) {
				await vi.waitUntil(() => sent.length > 0, { interval: 5 })
				const page = sent.shift()
				if (page?.type !== 'states') continue
				states.push(...page.states)
				if (page.digest !== undefined) return { ...page, states }
			}
		},
		receive: (message) => handler(message),
		restore: () => restored?.(),
		isHandler: () => handler === first,
		hasRestored: () => restored !== undefined,
		create: (name, initial = '1') => {
			open.add(name)
			registry.created(name, initial)
		},
		remove: (name) => {
			open.delete(name)
			registry.remove(name)
		},
	}
}
