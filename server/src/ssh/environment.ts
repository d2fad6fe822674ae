/** Variables and their bytes that one session may bring. */
const MAX_VARIABLES = 128;
const MAX_BYTES = 64 * 1024;
/** The user's own, whatever the client says (spec access §4.2). */
const NEVER = new Set(['HOME', 'USER']);

/** What a client may set: names, with `*` at the end for any rest. */
export class SessionEnvironment {
  readonly #variables = new Map<string, string>();
  #bytes = 0;

  constructor(private readonly allowed: readonly string[]) {}

  /** @returns whether it was taken */
  set(name: string, value: string): boolean {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(name) || value.includes('\0') || NEVER.has(name)) return false;
    if (!this.allowed.some((pattern) => fits(pattern, name))) return false;
    if (this.#variables.size >= MAX_VARIABLES || this.#bytes + value.length > MAX_BYTES) return false;
    this.#bytes += value.length;
    this.#variables.set(name, value);
    return true;
  }

  /** As NAME=VALUE, above the application's own. */
  over(application: Readonly<Record<string, string>>): string[] {
    const merged = new Map([...Object.entries(application).filter(([name]) => !NEVER.has(name)), ...this.#variables]);
    return [...merged].map(([name, value]) => `${name}=${value}`);
  }
}

function fits(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
