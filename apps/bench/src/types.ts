/** What a message carries: a string, or an object that somebody has to stringify. */
export type Payload = string | object

/** What is under measurement. */
export interface Sender {
	/** Sends to every connection. */
	broadcast(data: Payload): void
	/** Sends to one connection, the newest. */
	one(data: Payload): void
	/** The connections that a broadcast would reach now. */
	count(): number
}

/** A server. */
export interface Contender extends Sender {
	readonly port: number
	close(): Promise<void>
}

/** Begins to listen on 127.0.0.1, on any free port; how requests come depends on the transport. */
export type Listen = (
	handler: import('node:http').RequestListener,
) => Promise<{ port: number; close(): Promise<void> }>

/** What every file in `contenders/` exports, except those of the web. */
export interface ContenderModule {
	/** Those for which there is only one transport take no `listen`. */
	start(listen: Listen): Promise<Contender>
}

/** A handler of web requests, in the process of its clients. */
export interface WebContender extends Sender {
	/** Answers a request with a stream. */
	fetch(request: Request): Response
}

/** What the files in `contenders/` export that are measured in the case `web`. */
export interface WebContenderModule {
	start(): Promise<WebContender>
}

/** CPU time of a process, µs. */
export interface Cpu {
	readonly user: number
	readonly system: number
}

/** What is sent, and how it is paced. The server and the load client both get it. */
export interface RunPlan {
	readonly kind: 'string' | 'object'
	/** Size of the data (of the JSON, for an object). */
	readonly bytes: number
	/** Carry the time of sending in the data, so that the load client can tell the latency. */
	readonly timed?: boolean
	readonly to: 'all' | 'one'
	/** Messages in all; a multiple of `ackEvery`. */
	readonly messages: number
	readonly perTick: number
	/** Connections that count: all that read. */
	readonly clients: number
	/** The load client acknowledges each time so many messages arrived everywhere. */
	readonly ackEvery: number
	/** The server stops while so many messages are not acknowledged. */
	readonly window: number
	/** A tick each so many ms, in place of one after the other. */
	readonly everyMs?: number
	/** Sends no more after this time, even if `messages` were not sent yet. */
	readonly budgetMs?: number
	/** Looks at the RSS while it runs. */
	readonly watchRss?: boolean
}

/** What the server says about a run. */
export interface RunResult {
	readonly sent: number
	readonly cpu: Cpu
	readonly wallMs: number
	/** The highest RSS seen, bytes; only with `watchRss`. */
	readonly peakRss: number
}

/** What the load client says about a run. */
export interface LoadReport {
	/** Events that arrived, over all counted connections. */
	readonly events: number
	/** Fewest and most events on one connection. */
	readonly least: number
	readonly most: number
	/** Events that were not the next one: lost, doubled or out of order. */
	readonly disorder: number
	/** Connections that ended. */
	readonly ended: number
	/** Latency, ms; only if the run was timed. */
	readonly p50: number
	readonly p99: number
	readonly max: number
	readonly cpu: Cpu
	readonly wallMs: number
}

export interface Memory {
	readonly heap: number
	readonly external: number
	readonly rss: number
}

/** Metric key → value, of one repetition. */
export type Figures = Record<string, number>

export interface Metric {
	readonly key: string
	readonly label: string
	readonly digits: number
	/** Print and tabulate the ratio to the baseline and to better-sse. */
	readonly ratio?: boolean
}

export interface Case {
	readonly name: string
	readonly title: string
	readonly contenders: readonly string[]
	/** Whom the others are compared with. */
	readonly baseline: string
	readonly metrics: readonly Metric[]
	/** Runs of a contender when `reps` are asked for. */
	repetitions?(contender: string, reps: number): number
	/** Why it cannot run on this machine. */
	obstacle?(): string | undefined
	/** How clients reach the server; without it by HTTP/1.1. `web`: they are in the same process. */
	readonly transport?: 'https' | 'http2' | 'web'
	/** Where its processes run, if it does without the lab. */
	readonly setting?: string
	readonly sizes: { readonly full: Sizes; readonly quick: Sizes }
	measure(lab: LabOpener, sizes: Sizes, contender: string): Promise<Figures>
}

/** Numbers that differ between a full and a quick run. `connections` is the most one server holds at a time. */
export type Sizes = Readonly<Record<string, number>> & { readonly connections: number }

/** Starts a fresh server and load client. */
export type LabOpener = () => Promise<import('./lab.js').Lab>

/** A number that several processes change. */
export interface Counter {
	/** Adds one; resolves once that is confirmed. */
	add(): Promise<unknown>
	value(): number | Promise<number>
}

/** What one of the processes says about its changes. */
export interface ChangeReport {
	/** All that were confirmed. */
	readonly done: number
	/** Those within the measured time, per second. */
	readonly perSecond: number
	/** How long one took, ms. */
	readonly p50: number
	readonly p99: number
}
