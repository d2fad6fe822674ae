/** Why a login was refused: for the audit and the log, never for the client. */
export class Refused extends Error {
  constructor(
    readonly why: string,
    options?: ErrorOptions & {
      /** The credentials were right, so it is no guessing. */
      known?: boolean;
    },
  ) {
    super(why, options);
    this.name = 'Refused';
    this.known = options?.known === true;
  }

  readonly known: boolean;
}
