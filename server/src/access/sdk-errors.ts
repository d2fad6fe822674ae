import { fromStatus, isErrorReason, RiveraError } from '@rivera/kit/errors';
import { RiveraError as SdkError } from '@rivera/sdk/errors';

/** What the BBS answered is passed on as it is: to the caller it does not matter that the question took another way. */
export async function passingErrors<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof SdkError ? fromSdk(error) : error;
  }
}

function fromSdk(error: SdkError): RiveraError {
  const { reason, message, metadata, violations, resource, code, retryDelayMs } = error;
  // Without a reason it is gRPC's own word, such as that there is no connection, and its code says what is meant.
  const grpc = fromStatus(Object.assign(new Error(message), { code, details: message }));
  return new RiveraError(isErrorReason(reason) ? reason : grpc.reason, message, {
    code,
    metadata: { ...metadata },
    violations: violations.map(({ field, description }) => ({ field, description })),
    ...(retryDelayMs !== undefined && { retryDelayMs }),
    ...(resource && { resource: { type: resource.type, name: resource.name } }),
    cause: error,
  });
}
