import { createHash, timingSafeEqual } from 'node:crypto';
import { accountableFor } from './client-address.js';
import { askCloudFoundry } from './cloud-foundry.js';
import type { SshConfig } from './config.js';
import type { Lockout } from './lockout.js';
import type { PublicKeys } from './public-keys.js';
import { Refused } from './refused.js';
import type { SshStore } from './store.js';
import type { SshTarget } from './target.js';
import { type LoginForm, parseUserName, type UserName } from './user-name.js';

/** Somebody who is in. */
export interface Login {
  /** For limits and audit: operator, e-mail, name of a certificate or of a key. */
  readonly who: string;
  readonly how: 'credential' | 'one-time code' | 'code' | 'public key';
  readonly form: LoginForm;
  readonly target: SshTarget;
}

/** How somebody wants in. */
export type Proof =
  | { readonly method: 'password'; readonly password: string }
  | {
      readonly method: 'publickey';
      readonly algorithm: string;
      readonly blob: Buffer;
      /** Undefined: only asks whether the key would do. */
      readonly verify: ((key: import('ssh2').ParsedKey) => boolean) | undefined;
    };

export interface Attempt {
  readonly user: string;
  readonly address: string;
  readonly proof: Proof;
  readonly signal: AbortSignal;
}

export interface AuthenticatorParts {
  readonly config: SshConfig;
  readonly store: SshStore;
  readonly keys: PublicKeys;
  readonly lockout: Lockout;
  readonly findTarget: (o: { processGuid: string; index: number; signal: AbortSignal }) => Promise<SshTarget>;
}

/** Decides who gets in. What stands against somebody is one reason for the record; the client hears none. */
export class Authenticator {
  constructor(private readonly parts: AuthenticatorParts) {}

  /** Methods worth trying for a user name; they say nothing about who exists. */
  methods(user: string): ('password' | 'publickey')[] {
    return parseUserName(user)?.form === 'rivera' ? ['publickey', 'password'] : ['password'];
  }

  /** @returns the login; 'would-do' for a key that was only asked about @throws Refused */
  async authenticate(attempt: Attempt): Promise<Login | 'would-do'> {
    const { lockout } = this.parts;
    const { user, proof } = attempt;
    const address = accountableFor(attempt.address);
    if (lockout.isLocked(address, user))
      throw new Refused('locked out after too many wrong credentials', { known: true });
    try {
      const name = parseUserName(user);
      if (!name) throw new Refused('Invalid user format');
      const login = await this.#login(name, attempt);
      if (login !== 'would-do') lockout.succeeded(address, user);
      return login;
    } catch (error) {
      const guessing = proof.method === 'password' || proof.verify !== undefined;
      // What can't be judged, as when the database is away, is nobody's guess.
      if (guessing && error instanceof Refused && !error.known) lockout.failed(address, user);
      throw error;
    }
  }

  async #login(name: UserName, { proof, signal }: Attempt): Promise<Login | 'would-do'> {
    const { config, store } = this.parts;
    const { form, processGuid, index } = name;
    if (proof.method === 'publickey') return this.#byKey(name, proof, signal);
    const { password } = proof;
    switch (form) {
      case 'diego': {
        const { enabled, credential } = config.diego;
        // Compared either way, so that the time taken does not tell which modes are on.
        const right = sameText(password, credential);
        if (!enabled || !right) throw new Refused(enabled ? 'Invalid credentials' : 'diego mode is off');
        return this.#into({ who: 'operator', how: 'credential', form }, { processGuid, index, signal });
      }
      case 'cf': {
        if (!config.cf.enabled) throw new Refused('cf mode is off');
        const access = await askCloudFoundry(config.cf, { appGuid: processGuid, index, code: password, signal });
        const target = { processGuid: access.processGuid, index, signal };
        return this.#into({ who: access.who, how: 'one-time code', form }, target);
      }
      case 'rivera': {
        const found = await store.takeCode(password, processGuid);
        if (!found) throw new Refused('the code is wrong, used, expired or for another LRP');
        return this.#into({ who: found.madeBy, how: 'code', form }, { processGuid, index, signal });
      }
    }
  }

  async #byKey(
    { form, processGuid, index }: UserName,
    proof: Proof & { method: 'publickey' },
    signal: AbortSignal,
  ): Promise<Login | 'would-do'> {
    if (proof.algorithm === 'ssh-rsa') throw new Refused('a signature with SHA-1 is not accepted', { known: true });
    if (form !== 'rivera') throw new Refused('public keys are not for users with diego: or cf:', { known: true });
    const found = await this.parts.keys.find(proof.algorithm, proof.blob);
    if (found.processGuids.length > 0 && !found.processGuids.includes(processGuid)) {
      throw new Refused(`the key of ${found.name} is not for this LRP`, { known: true });
    }
    if (!proof.verify) return 'would-do';
    if (!proof.verify(found.key)) throw new Refused(`the signature does not fit the key of ${found.name}`);
    return this.#into({ who: found.name, how: 'public key', form }, { processGuid, index, signal });
  }

  async #into(
    login: Omit<Login, 'target'>,
    wanted: { processGuid: string; index: number; signal: AbortSignal },
  ): Promise<Login> {
    return { ...login, target: await this.parts.findTarget(wanted) };
  }
}

/** Compares digests, so that neither content nor length can be told from the time it takes. */
export function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
