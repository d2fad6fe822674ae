import type { CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';

/**
 * Which cells may take which work (spec auction §5.3). A cell's side of the match is its {@link Offer}, the work's side its
 * {@link Demand}; both carry a key, so that cells and work with the same side are judged once.
 */

/** What a cell accepts. */
export interface Offer {
  /** Equal for equal offers. */
  readonly key: string;
  /** Scheme → names on offer. */
  readonly rootFs: ReadonlyMap<string, ReadonlySet<string> | 'any'>;
  readonly drivers: ReadonlySet<string>;
  /** Work must ask for all of these. */
  readonly requiredTags: ReadonlySet<string>;
  /** Work may ask for these. */
  readonly optionalTags: ReadonlySet<string>;
}

/** What a piece of work insists on. */
export interface Demand {
  /** Equal for equal demands, messages about them included: tags keep the order of the request. */
  readonly key: string;
  /** undefined: it can't be understood and matches no cell. */
  readonly rootFs: RootFsName | undefined;
  readonly tags: readonly string[];
  readonly drivers: readonly string[];
}

export interface RootFsName {
  readonly scheme: string;
  /** What follows `scheme:`, without query and fragment; '' when a path follows. */
  readonly opaque: string;
}

/** The tests in the order in which they are made. */
export const MISMATCHES = ['ROOT_FS', 'VOLUME_DRIVERS', 'PLACEMENT_TAGS'] as const;
export type Mismatch = (typeof MISMATCHES)[number];

type OfferFields = Pick<CellBid, 'rootFsProviders' | 'volumeDrivers' | 'placementTags' | 'optionalPlacementTags'>;

export function offerOf(bid: OfferFields): Offer {
  const rootFs = new Map<string, Set<string> | 'any'>();
  for (const provider of bid.rootFsProviders) {
    const known = rootFs.get(provider.name);
    if (provider.properties.length === 0 || known === 'any') rootFs.set(provider.name, 'any');
    else rootFs.set(provider.name, new Set([...(known ?? []), ...provider.properties]));
  }
  const schemes = [...rootFs].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    key: JSON.stringify([
      schemes.map(([scheme, names]) => [scheme, names === 'any' ? null : [...names].sort()]),
      [...new Set(bid.volumeDrivers)].sort(),
      [...new Set(bid.placementTags)].sort(),
      [...new Set(bid.optionalPlacementTags)].sort(),
    ]),
    rootFs,
    drivers: new Set(bid.volumeDrivers),
    requiredTags: new Set(bid.placementTags),
    optionalTags: new Set(bid.optionalPlacementTags),
  };
}

export function demandOf(requirements: Pick<WorkRequirements, 'rootFs' | 'placementTags' | 'volumeDrivers'>): Demand {
  const { rootFs, placementTags, volumeDrivers } = requirements;
  const drivers = volumeDrivers.length > 1 ? [...new Set(volumeDrivers)].sort() : volumeDrivers;
  return {
    key: placementTags.length === 0 && drivers.length === 0 ? rootFs : JSON.stringify([rootFs, placementTags, drivers]),
    rootFs: parseRootFs(rootFs),
    tags: placementTags,
    drivers,
  };
}

/** Reads a root filesystem URL as far as placement needs it; undefined when it isn't one. */
export function parseRootFs(url: string): RootFsName | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a URL with control characters is what this line refuses
  if (/[\u0000-\u001f\u007f]/.test(url)) return undefined;
  const match = /^([a-z][a-z0-9+.-]*):([^?#]*)/i.exec(url);
  if (!match) return undefined;
  const [, scheme = '', rest = ''] = match;
  if (!rest.startsWith('/')) return { scheme: scheme.toLowerCase(), opaque: rest };
  return /%(?![0-9a-f]{2})/i.test(rest) ? undefined : { scheme: scheme.toLowerCase(), opaque: '' };
}

/** The first test that the pair fails; undefined: the cell may take the work. */
export function mismatch(offer: Offer, demand: Demand): Mismatch | undefined {
  if (!hasRootFs(offer, demand.rootFs)) return 'ROOT_FS';
  if (!demand.drivers.every((driver) => offer.drivers.has(driver))) return 'VOLUME_DRIVERS';
  return tagsMatch(offer, demand.tags) ? undefined : 'PLACEMENT_TAGS';
}

function hasRootFs(offer: Offer, wanted: RootFsName | undefined): boolean {
  const names = wanted && offer.rootFs.get(wanted.scheme);
  return names !== undefined && (names === 'any' || names.has(wanted?.opaque ?? ''));
}

/** `required ⊆ wanted ⊆ required ∪ optional`, as sets. */
function tagsMatch(offer: Offer, wanted: readonly string[]): boolean {
  for (const tag of offer.requiredTags) if (!wanted.includes(tag)) return false;
  return wanted.every((tag) => offer.requiredTags.has(tag) || offer.optionalTags.has(tag));
}
