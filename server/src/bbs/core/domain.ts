import type { Draft } from './draft.js';
import type { DomainRow } from './model.js';

/** What the BBS holds for the domain is complete, for `ttlMs`; 0: until declared anew (spec bbs §1.2). */
export function upsertDomain(draft: Draft, domain: string, ttlMs: number): DomainRow {
  return draft.putDomain({ domain, expiresAtMs: ttlMs === 0 ? 0 : draft.now + ttlMs });
}

/** Its time is over; called when it is due. */
export function domainDue(draft: Draft, domain: string): void {
  const row = draft.state.domains.get(domain);
  if (row !== undefined && row.expiresAtMs !== 0 && row.expiresAtMs <= draft.now) draft.deleteDomain(domain);
}
