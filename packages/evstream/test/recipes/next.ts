import { manager } from './next-manager.js'

export const dynamic = 'force-dynamic'

export function GET(request: Request): Response {
	const { stream, response } = manager.createResponse(request, { maxAge: 300_000 })
	stream.listen('news')
	return response
}
