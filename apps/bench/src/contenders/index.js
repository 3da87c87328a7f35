/**
 * The contenders, in the order they run and are listed. Each name is a file of this folder; the package whose version
 * is printed is `null` for the baselines.
 *
 * @type {Readonly<Record<string, string | null>>}
 */
export const contenders = {
	'bare-http': null,
	'raw-write': null,
	'raw-socket': null,
	'raw-joined': null,
	'raw-buffer': null,
	'raw-stream': null,
	'raw-enqueue': null,
	'raw-enqueue-copy': null,
	evstream: '@evstream/core',
	'evstream-web': '@evstream/core',
	'better-sse': 'better-sse',
	'fastify-sse': '@fastify/sse',
	'sse-channel': 'sse-channel',
	h3: 'h3',
	hono: 'hono',
}
