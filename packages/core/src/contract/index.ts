export { type ChannelLogFixture, type ChannelLogTraits, channelLogContract } from './channel-log-contract.js'
export type { ContractRunner } from './runner.js'
export { type StateStoreFixture, stateStoreContract } from './state-store-contract.js'
