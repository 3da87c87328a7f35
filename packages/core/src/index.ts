export type { EvAdapter, EvStateAdapter } from './adapter.js'
export type { EvChannelData, EvChannelProvider, EvChannelSource } from './channel.js'
export {
	EvClosedError,
	EvConflictError,
	EvError,
	type EvErrorCode,
	EvInvalidMessageError,
	EvMaxConnectionsError,
	EvMaxListenerError,
	EvNotAuthenticatedError,
	EvUnavailableError,
} from './errors.js'
export { Evstream } from './evstream.js'
export { encodeJson } from './json.js'
export type {
	Awaitable,
	ChannelLog,
	LogEntry,
	LogOptions,
	LogPage,
	LogPosition,
	LogReceiver,
	LogRetention,
	LogStart,
	ResetReason,
} from './log.js'
export { EvStreamManager } from './manager.js'
export type { EvManagerOptions } from './manager-options.js'
export { MemoryLog } from './memory-log.js'
export { MemoryStateStore } from './memory-state-store.js'
export { safeOnError } from './safe-on-error.js'
export type {
	CommitOptions,
	CommitResult,
	Incarnation,
	ListChange,
	OperationId,
	RegisteredState,
	RegistryWatcher,
	StateList,
	StatePlace,
	StateStore,
	StateWatcher,
	StoredState,
	Unwatch,
} from './state-store.js'
export type {
	EvAuthenticatedWebStream,
	EvAuthenticationOptions,
	EvCloseReason,
	EvConnectionOptions,
	EvData,
	EvEventsType,
	EvHistoryOptions,
	EvListenOptions,
	EvManagedStream,
	EvManagerStats,
	EvMessage,
	EvOnClose,
	EvOptions,
	EvRequest,
	EvResponse,
	EvRetention,
	EvSendOptions,
	EvSendParameters,
	EvSlowPolicy,
	EvSource,
	EvVerifyResult,
	EvWebStream,
} from './types.js'
