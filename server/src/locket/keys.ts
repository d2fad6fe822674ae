/** Keys of the leases that elect Rivera's own leaders. Through Locket only servers may take them. */
export const BBS_LEASE_KEY = 'bbs';
export const AUCTIONEER_LEASE_KEY = 'auctioneer';

export const RESERVED_LEASE_KEYS: ReadonlySet<string> = new Set([BBS_LEASE_KEY, AUCTIONEER_LEASE_KEY]);
