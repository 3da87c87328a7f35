import { openSse } from '@evstream/testkit'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LIMITS } from '../src/board.js'
import { postJson, type RunningDemo, startDemo } from './support/demo.js'

describe('the server', () => {
	let demo: RunningDemo

	beforeEach(async () => {
		demo = await startDemo()
	})
	afterEach(() => demo.close())

	it('takes a post and sends it trimmed, with an id', async () => {
		const stream = await openSse(`${demo.url}/events`)
		await stream.next('position')
		const answer = await postJson(`${demo.url}/board`, { name: ' Ada ', text: ' hi ', admin: true })
		expect(answer.status).toBe(201)
		const { id } = (await answer.json()) as { id: string }
		const event = await stream.next('board')
		expect(event.id).toBe(id)
		expect(JSON.parse(event.data)).toEqual({ name: 'Ada', text: 'hi', at: expect.any(Number) })
		stream.close()
	})

	it.each([
		['nothing', undefined],
		['an array', []],
		['no name', { text: 'x' }],
		['an empty name', { name: ' ', text: 'x' }],
		['a name that is no string', { name: { a: 1 }, text: 'x' }],
		['a name that is too long', { name: 'x'.repeat(LIMITS.name + 1), text: 'x' }],
		['an empty text', { name: 'x', text: '' }],
		['a text that is too long', { name: 'x', text: 'x'.repeat(LIMITS.text + 1) }],
	])('refuses %s as a post', async (_what, body) => {
		const answer = await postJson(`${demo.url}/board`, body ?? {})
		expect(answer.status).toBe(400)
		expect(await answer.json()).toEqual({ error: expect.any(String) })
	})

	it('takes a name and a text as long as allowed', async () => {
		const body = { name: '👋'.repeat(LIMITS.name / 2), text: 'ü'.repeat(LIMITS.text) }
		expect((await postJson(`${demo.url}/board`, body)).status).toBe(201)
	})

	it.each([
		['broken JSON', 400, 'application/json', '{"name":'],
		[
			'a body that is too big',
			413,
			'application/json',
			JSON.stringify({ name: 'x', text: 'x'.repeat(9_000) }),
		],
		['a form of another site', 415, 'application/x-www-form-urlencoded', 'name=x&text=x'],
	])('answers %s with %i', async (_what, status, type, body) => {
		const answer = await fetch(`${demo.url}/board`, {
			method: 'POST',
			headers: { 'content-type': type },
			body,
		})
		expect(answer.status).toBe(status)
		expect(await answer.text()).not.toContain('node_modules')
	})

	it('answers 401 to a wrong, an empty and a missing token', async () => {
		for (const query of ['?token=guess', '?token=', '']) {
			const answer = await fetch(`${demo.url}/private${query}`)
			expect(answer.status).toBe(401)
			await answer.text()
		}
	})

	it('cannot be killed when it is the only instance', async () => {
		expect((await postJson(`${demo.url}/kill`, {})).status).toBe(404)
	})

	it('drops the streams of the tab that asks, and no others', async () => {
		const [mine, other] = await Promise.all([
			openSse(`${demo.url}/events?tab=mine`),
			openSse(`${demo.url}/events?tab=other`),
		])
		await Promise.all([mine.next('position'), other.next('position')])
		const answer = await postJson(`${demo.url}/drop`, { tab: 'mine' })
		expect(await answer.json()).toEqual({ dropped: 1 })
		await mine.closed
		expect(mine.raw).not.toContain('event:end')
		await other.next('clock')
		other.close()
		await vi.waitFor(() => expect(demo.manager.stats()).toMatchObject({ connections: 0, listeners: 0 }))
	})
})
