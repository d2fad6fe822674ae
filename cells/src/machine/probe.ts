/** What was looked at, what was found, and what to do when that isn't enough. */
export interface Probe {
  name: string;
  ok: boolean;
  /** What this machine has, for people. */
  found: string;
  /** What is needed, and what for. */
  needed: string;
  /** A command or setting that helps; empty when all is well. */
  remedy: string;
  /** Debian packages that would help. */
  packages: string[];
  /** Whether a cell can do without, with something lost. */
  optional: boolean;
  /** Whether all that is known to be missing is room on the disk. */
  noRoom: boolean;
}

/** What a check finds: a text when all is well, or what is wrong; or that the disk has no room for the check. */
export type Finding = { ok: true; found: string } | { ok: false; found: string; noRoom?: true };

const MAKE_ROOM = 'free some space or choose another data folder';

/** One thing to look at. */
export interface Check {
  name: string;
  needed: string;
  /** For when packages don't help. */
  remedy?: string;
  packages?: string[];
  optional?: boolean;
  look(): Promise<Finding>;
}

/** Looks. A check that fails in an unforeseen way counts as not ok, with its error as what was found. */
export async function probe(check: Check): Promise<Probe> {
  const finding = await check
    .look()
    .catch((error: unknown): Finding => ({ ok: false, found: error instanceof Error ? error.message : String(error) }));
  const noRoom = !finding.ok && finding.noRoom === true;
  const packages = noRoom ? [] : (check.packages ?? []);
  const remedy = noRoom ? MAKE_ROOM : (check.remedy ?? `apt-get install -y ${packages.join(' ')}`);
  return {
    name: check.name,
    ok: finding.ok,
    found: finding.found,
    needed: check.needed,
    remedy: finding.ok ? '' : remedy,
    packages: finding.ok ? [] : packages,
    optional: check.optional ?? false,
    noRoom,
  };
}

/** Everything that is missing in one message, with the one line that installs it; undefined when the machine is ready. */
export function explainMissing(probes: Probe[]): string | undefined {
  const missing = probes.filter((each) => !each.ok && !each.optional);
  if (missing.length === 0) return undefined;
  const lines = missing.map(
    (each) =>
      `  ${each.name}: ${each.found}; needed: ${each.needed}${each.packages.length > 0 ? '' : `. ${each.remedy}`}`,
  );
  const packages = [...new Set(missing.flatMap((each) => each.packages))].sort();
  const install =
    packages.length > 0
      ? `\nInstall what is missing with:\n  apt-get update && apt-get install -y ${packages.join(' ')}`
      : '';
  return `this machine can't run containers yet:\n${lines.join('\n')}${install}`;
}
