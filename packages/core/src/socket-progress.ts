import type { Socket } from 'node:net'

/**
 * How many bytes the kernel has taken from a socket. Of one large write the kernel takes a part at a time; Node's
 * public counters show whole writes only, so this asks the handle, and of a TLS socket the one under it.
 */
export function bytesTakenByKernel(socket: Socket): number {
	const handle: unknown = Reflect.get(socket, '_handle')
	const carrier = propertyOf(handle, '_parent') ?? handle
	const written = propertyOf(carrier, 'bytesWritten')
	const queued = propertyOf(carrier, 'writeQueueSize')
	// Not public: without them only whole writes count as progress.
	if (typeof written !== 'number' || typeof queued !== 'number')
		return socket.bytesWritten - socket.writableLength
	return written - queued
}

function propertyOf(value: unknown, name: string): unknown {
	return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
