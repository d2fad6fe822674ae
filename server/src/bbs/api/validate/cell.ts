import type { CellHello } from '@rivera/gen/rivera/bbs/v1/session_service';
import { checkGuid, checkText, Violations } from './violations.js';

const MAX_TEXT = 255;
const MAX_LIST = 1_000;

/** What a cell says of itself is kept and shown, and dialled. @throws INVALID_REQUEST with every broken rule */
export function validateHello({ presence, incarnation }: CellHello): void {
  const violations = new Violations();
  checkShort(violations, 'incarnation', incarnation);
  violations.check(incarnation !== '', 'incarnation', 'is required');
  if (presence === undefined) {
    violations.add('presence', 'is required');
  } else {
    const { capacity } = presence;
    checkGuid(violations, 'presence.cell_id', presence.cellId);
    checkShort(violations, 'presence.zone', presence.zone);
    checkShort(violations, 'presence.host_address', presence.hostAddress);
    const address = /^(\[[0-9a-fA-F:.]+\]|[^\s:/@]{1,255}):\d{1,5}$/.test(presence.repAddress);
    violations.check(address, 'presence.rep_address', 'must be host:port');
    violations.check((capacity?.memoryMb ?? 0) > 0, 'presence.capacity.memory_mb', 'must be more than 0');
    violations.check((capacity?.diskMb ?? 0) >= 0, 'presence.capacity.disk_mb', 'must be at least 0');
    violations.check((capacity?.containers ?? 0) > 0, 'presence.capacity.containers', 'must be more than 0');
    for (const name of ['placementTags', 'optionalPlacementTags', 'volumeDrivers'] as const) {
      checkList(violations, `presence.${SNAKE[name]}`, presence[name]);
    }
    for (const [i, provider] of presence.rootFsProviders.entries()) {
      checkShort(violations, `presence.root_fs_providers[${i}].name`, provider.name);
      checkList(violations, `presence.root_fs_providers[${i}].properties`, provider.properties);
    }
    violations.check(presence.rootFsProviders.length <= MAX_LIST, 'presence.root_fs_providers', 'has too many entries');
    checkList(violations, 'presence.annotations', Object.entries(presence.annotations).flat());
  }
  violations.throwIfAny();
}

const SNAKE = {
  placementTags: 'placement_tags',
  optionalPlacementTags: 'optional_placement_tags',
  volumeDrivers: 'volume_drivers',
} as const;

function checkShort(violations: Violations, field: string, text: string): void {
  violations.check(text.length <= MAX_TEXT, field, `must have at most ${MAX_TEXT} characters`);
  checkText(violations, field, text);
}

function checkList(violations: Violations, field: string, texts: readonly string[]): void {
  violations.check(texts.length <= MAX_LIST, field, `must have at most ${MAX_LIST} entries`);
  for (const [i, text] of texts.slice(0, MAX_LIST).entries()) checkShort(violations, `${field}[${i}]`, text);
}
