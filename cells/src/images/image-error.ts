export type ImageErrorKind =
  | 'bad-reference'
  | 'not-found'
  | 'unauthorised'
  | 'digest-mismatch'
  | 'unsupported'
  | 'no-platform'
  | 'too-large'
  | 'damaged'
  | 'unreachable';

/** An image that can't be had. Its text names the image and is fit for users: it holds no secret. */
export class ImageError extends Error {
  override readonly name = 'ImageError';

  constructor(
    readonly kind: ImageErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
