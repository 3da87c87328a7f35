import { Redis } from 'ioredis'
import { startRedis } from '../src/index.js'

const redis = await startRedis()
const client = new Redis(redis.url)
const [, dir] = String(await client.config('GET', 'dir')).split(',')
console.log(`dir ${dir}`)
console.log(`port ${redis.port}`)
setInterval(() => {}, 1000)
