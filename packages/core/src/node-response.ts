import { ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { Http2Transport } from './http2-transport.js'
import { NodeTransport } from './node-transport.js'
import type { Transport, TransportOwner } from './transport.js'
import type { EvRequest, EvResponse } from './types.js'

/** The transport that fits Node's objects: HTTP/1, or HTTP/2 by its compatibility API. */
export function nodeTransport(req: EvRequest, res: EvResponse, owner: TransportOwner): Transport {
	if (isHttp2Response(res) && isHttp2Request(req)) return new Http2Transport(req, res, owner)
	if (isHttp2Response(res) || isHttp2Request(req)) {
		throw new TypeError(
			'The request and the response must be of one HTTP version: pass the pair of one handler.',
		)
	}
	return new NodeTransport(req, res, owner)
}

function isHttp2Response(res: EvResponse): res is Http2ServerResponse {
	return !(res instanceof ServerResponse) && 'stream' in res && typeof res.stream === 'object'
}

function isHttp2Request(req: EvRequest): req is Http2ServerRequest {
	return 'stream' in req && typeof req.stream === 'object' && req.httpVersionMajor === 2
}
