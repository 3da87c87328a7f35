import type { EvStreamManager } from 'evstream'
import Koa from 'koa'

export function koaApp(manager: EvStreamManager): Koa {
	const app = new Koa()
	app.use(async (ctx, next) => {
		if (ctx.path !== '/events') return next()
		ctx.set('Access-Control-Allow-Origin', 'https://app.example')
		// Koa begins every response as a 404.
		ctx.status = 200
		const stream = manager.createStream(ctx.req, ctx.res)
		ctx.respond = false
		stream.listen('news')
	})
	return app
}
