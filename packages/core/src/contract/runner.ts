/** The two functions of a test runner that a suite needs: vitest's, jest's and `node:test`'s fit. */
export interface ContractRunner {
	describe(name: string, body: () => void): unknown
	it(name: string, body: () => Promise<void>): unknown
}
