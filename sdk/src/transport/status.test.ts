import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import * as errors from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { toRiveraError } from './status.js';

const serviceError = (fields: object) =>
  Object.assign(new Error('14 X: details'), { metadata: new Metadata() }, fields);

describe('a failed call', () => {
  it.each([
    [status.NOT_FOUND, errors.NotFoundError],
    [status.ALREADY_EXISTS, errors.AlreadyExistsError],
    [status.INVALID_ARGUMENT, errors.InvalidRequestError],
    [status.FAILED_PRECONDITION, errors.FailedPreconditionError],
    [status.ABORTED, errors.AbortedError],
    [status.UNAVAILABLE, errors.UnavailableError],
    [status.DEADLINE_EXCEEDED, errors.DeadlineExceededError],
    [status.PERMISSION_DENIED, errors.PermissionDeniedError],
    [status.UNAUTHENTICATED, errors.UnauthenticatedError],
    [status.RESOURCE_EXHAUSTED, errors.ResourceExhaustedError],
    [status.OUT_OF_RANGE, errors.OutOfRangeError],
    [status.CANCELLED, errors.CancelledError],
    [status.INTERNAL, errors.InternalError],
  ])('of status %i is an error of its own class', (code, expected) => {
    const error = toRiveraError(serviceError({ code, details: 'why' }));
    expect(error).toBeInstanceOf(expected);
    expect(error).toBeInstanceOf(errors.RiveraError);
    expect(error).toMatchObject({ code, codeName: status[code], message: 'why', name: expected.name });
  });

  it('of a status without a class of its own is a RiveraError', () => {
    const error = toRiveraError(serviceError({ code: status.UNIMPLEMENTED, details: 'older server' }));
    expect(error.constructor).toBe(errors.RiveraError);
    expect(error.codeName).toBe('UNIMPLEMENTED');
  });

  it('stays what it is when it is one of ours already', () => {
    const error = new errors.NotFoundError({ message: 'x' });
    expect(toRiveraError(error)).toBe(error);
  });

  it('keeps its status when its details can not be decoded', () => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    const error = toRiveraError(serviceError({ code: status.NOT_FOUND, details: 'why', metadata }));
    expect(error).toBeInstanceOf(errors.NotFoundError);
    expect(error.reason).toBe('');
  });

  it('is retryable when the server says when to come back', () => {
    const { metadata } = statusOf(status.RESOURCE_EXHAUSTED, 'x', { retryDelayMs: 250 });
    const error = toRiveraError(serviceError({ code: status.RESOURCE_EXHAUSTED, details: 'x', metadata }));
    expect(error).toMatchObject({ retryable: true, retryDelayMs: 250 });
  });

  it('of no known kind is internal, with its cause', () => {
    const cause = new TypeError('bug');
    expect(toRiveraError(cause)).toMatchObject({ name: 'InternalError', message: 'bug', cause });
  });
});
