import type { Cluster, Redis } from 'ioredis'
import { isCluster } from './connections.js'

const PUBLISH_IN_SLOT = "return redis.call('PUBLISH', ARGV[1], ARGV[2])"

/**
 * Publishes so that payloads of one channel keep their order: in a Cluster a bare PUBLISH goes to a random node
 * each time, one in a script goes to the node that has the channel's slot.
 */
export async function publish(client: Redis | Cluster, channel: string, payload: string): Promise<void> {
	if (isCluster(client)) await client.eval(PUBLISH_IN_SLOT, 1, channel, channel, payload)
	else await client.publish(channel, payload)
}
