import type { ServiceDefinition } from '@grpc/grpc-js';
import { RiveraError } from '../errors.js';
import { type Peer, ROLES, type Role } from '../tls/identity.js';

/** Which roles may call a service. */
export interface Access<S extends ServiceDefinition> {
  /** Methods that are not named below. */
  readonly default: readonly Role[];
  readonly methods?: { readonly [M in keyof S]?: readonly Role[] };
  /** Methods that only read, though readers may not call them: they are not audited. */
  readonly reads?: readonly (keyof S)[];
}

/** Who may call what; a method that it does not know, nobody may. */
export class AccessTable {
  readonly #roles = new Map<string, readonly Role[]>();
  readonly #reads = new Set<string>();

  /** Enters all methods of a service. */
  allow<S extends ServiceDefinition>(service: S, access: Access<S>): void {
    for (const name of Object.keys(service) as (keyof S & string)[]) {
      const path = service[name]?.path;
      if (path === undefined) continue;
      const roles = access.methods?.[name] ?? access.default;
      this.#roles.set(path, roles);
      if (roles.includes('reader') || access.reads?.includes(name)) this.#reads.add(path);
    }
  }

  /** Whether a method may change something, or shows what is nobody else's business: whatever is not known to be a mere reading. */
  changes(method: string): boolean {
    return !this.#reads.has(method);
  }

  /** What stands against a call; undefined: nothing. */
  refusal(peer: Peer | undefined, method: string): RiveraError | undefined {
    if (!peer) {
      return new RiveraError(
        'UNAUTHENTICATED',
        `the certificate names no role; its subject needs a CN and one OU out of ${ROLES.join(', ')}`,
      );
    }
    const roles = this.#roles.get(method) ?? [];
    if (roles.includes(peer.role)) return undefined;
    return new RiveraError(
      'PERMISSION_DENIED',
      `role ${peer.role} may not call ${method}; it is for ${roles.length === 0 ? 'nobody' : roles.join(', ')}`,
      { metadata: { method, role: peer.role, allowed_roles: roles.join(',') } },
    );
  }
}
