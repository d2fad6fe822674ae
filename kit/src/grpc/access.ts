import type { ServiceDefinition } from '@grpc/grpc-js';
import { RiveraError } from '../errors.js';
import { type Peer, ROLES, type Role } from '../tls/identity.js';

/** Which roles may call a service. */
export interface Access<S extends ServiceDefinition> {
  /** Methods that are not named below. */
  readonly default: readonly Role[];
  readonly methods?: { readonly [M in keyof S]?: readonly Role[] };
}

/** Who may call what; a method that it does not know, nobody may. */
export class AccessTable {
  readonly #roles = new Map<string, readonly Role[]>();

  /** Enters all methods of a service. */
  allow<S extends ServiceDefinition>(service: S, access: Access<S>): void {
    for (const name of Object.keys(service) as (keyof S & string)[]) {
      const path = service[name]?.path;
      if (path !== undefined) this.#roles.set(path, access.methods?.[name] ?? access.default);
    }
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
