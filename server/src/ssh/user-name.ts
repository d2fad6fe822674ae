/** Whose rules a login follows. */
export type LoginForm = 'diego' | 'cf' | 'rivera';

/** What a user name says. */
export interface UserName {
  readonly form: LoginForm;
  readonly processGuid: string;
  readonly index: number;
}

const FORMS: readonly { readonly form: LoginForm; readonly pattern: RegExp }[] = [
  { form: 'diego', pattern: /^diego:([A-Za-z0-9_-]{1,255})\/(\d{1,5})$/ },
  {
    form: 'cf',
    pattern: /^cf:([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})\/(\d{1,5})$/,
  },
  { form: 'rivera', pattern: /^([A-Za-z0-9_-]{1,255})\/(\d{1,5})$/ },
];

/** Reads `diego:GUID/INDEX`, `cf:APP-GUID/INDEX` or `LRP/INDEX`, and nothing around it (spec access §2). Undefined: it is neither. */
export function parseUserName(text: string): UserName | undefined {
  for (const { form, pattern } of FORMS) {
    const found = pattern.exec(text);
    // A dollar also matches before a line break at the end.
    if (found && found[0].length === text.length) {
      return { form, processGuid: found[1] ?? '', index: Number(found[2]) };
    }
  }
  return undefined;
}
