/** `raw-enqueue` with a copy for every web response, so that no consumer can detach the bytes of another. */
import { startWith } from './raw-enqueue.js'

export const start = () => startWith((bytes) => new Uint8Array(bytes))
