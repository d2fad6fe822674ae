import { isErrorReason, RiveraError } from '@rivera/kit/errors';
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
  const { reason, message, metadata, violations, resource } = error;
  return new RiveraError(isErrorReason(reason) ? reason : 'UNAVAILABLE', message, {
    metadata: { ...metadata },
    violations: violations.map(({ field, description }) => ({ field, description })),
    ...(resource && { resource: { type: resource.type, name: resource.name } }),
    cause: error,
  });
}
