import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { FakeRedis } from './fake-redis.js'

/** As much of an existing client as a bus uses; its subscriber connections are {@link FakeRedis}. */
export class FakeClient extends EventEmitter {
	readonly isCluster = false
	readonly options: { readonly keyPrefix?: string } = {}
	status = 'ready'
	readonly published: string[] = []
	readonly connections: FakeRedis[] = []
	disconnects = 0

	duplicate(): FakeRedis {
		const redis = new FakeRedis()
		this.connections.push(redis)
		return redis
	}

	async publish(_channel: string, payload: string): Promise<number> {
		this.published.push(payload)
		return 1
	}

	disconnect(): void {
		this.disconnects++
	}

	become(status: string): void {
		this.status = status
		if (status === 'ready') this.emit('ready')
	}

	/** It offers what is called on it. */
	asClient(): Redis {
		return this as unknown as Redis
	}
}
