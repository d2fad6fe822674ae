import type {
  ListDomainsRequest,
  ListDomainsResponse,
  UpsertDomainRequest,
  UpsertDomainResponse,
} from '@rivera/gen/rivera/bbs/v1/domain_service';
import { upsertDomain } from '../core/domain.js';
import type { CurrentTerm } from '../term.js';
import { durationMs } from './from-proto.js';
import { decodePageToken, pageSize, takePage } from './paging.js';
import { domainToProto } from './to-proto.js';
import { validateDomain } from './validate/requests.js';

const PAGE = { defaultSize: 500, maxSize: 1_000 };

/** Handlers of rivera.bbs.v1.DomainService. */
export function domainService(term: CurrentTerm) {
  return {
    async upsertDomain(request: UpsertDomainRequest): Promise<UpsertDomainResponse> {
      validateDomain(request);
      const { domain } = request;
      const ttlMs = durationMs(request.ttl);
      return { domain: domainToProto(await term().engine.execute((draft) => upsertDomain(draft, domain, ttlMs))) };
    },

    async listDomains(request: ListDomainsRequest): Promise<ListDomainsResponse> {
      const size = pageSize(request.pageSize, PAGE);
      const after = decodePageToken(request.pageToken);
      const { result, revision } = await term().engine.read((state, now) => {
        const fresh = [...state.domains.values()].filter((row) => row.domain > after && state.isFresh(row.domain, now));
        fresh.sort((a, b) => (a.domain < b.domain ? -1 : 1));
        return takePage(fresh, { size, keyOf: (row) => row.domain });
      });
      return { domains: result.page.map(domainToProto), nextPageToken: result.nextPageToken, revision };
    },
  };
}
