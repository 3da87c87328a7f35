import { tests } from '../../vitest.base.js'

// The embedded Redis is some twenty times slower than a real one, and busier machines than this one run the tests.
export default tests('redis', { testTimeout: 60_000 })
