/** Where cells lay out the programs of SSH in every container. */
const TOOLS = '/.rivera/ssh/bin';

/** What a session wants. */
export type Wish =
  | { readonly kind: 'shell' }
  | { readonly kind: 'exec'; readonly command: string }
  | { readonly kind: 'subsystem'; readonly name: string };

/**
 * What is run for a wish; an empty path is the container's shell. Undefined: there is no such subsystem. A command that begins with
 * the word scp gets the tool that every container has; its operands are still the shell's to expand (spec access §4.2).
 */
export function programOf(wish: Wish): { path: string; args: string[] } | undefined {
  switch (wish.kind) {
    case 'shell':
      return { path: '', args: ['-l'] };
    case 'exec':
      return { path: '', args: ['-c', wish.command.replace(/^\s*scp(?=\s|$)/, `${TOOLS}/scp`)] };
    case 'subsystem':
      return wish.name === 'sftp' ? { path: `${TOOLS}/sftp-server`, args: [] } : undefined;
  }
}
