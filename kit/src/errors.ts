export { ERRORS, type ErrorReason, type ErrorSpec, isErrorReason } from './errors/registry.js';
export { type ErrorDetails, RiveraError, type Violation } from './errors/rivera-error.js';
export { fromStatus, type StatusWithDetails, toStatus } from './errors/status.js';
