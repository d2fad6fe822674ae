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

/**
 * Whether it lies in the image or in who asks for it, so that no other attempt helps. Bytes that were damaged on the way, and
 * registries that are away or busy, may be better next time.
 */
const FINAL: { readonly [kind in ImageErrorKind]: boolean } = {
  'bad-reference': true,
  'not-found': true,
  unauthorised: true,
  unsupported: true,
  'no-platform': true,
  'too-large': true,
  'digest-mismatch': false,
  damaged: false,
  unreachable: false,
};

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

  /** No other attempt would end better. */
  get final(): boolean {
    return FINAL[this.kind];
  }
}
