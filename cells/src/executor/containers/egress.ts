import type { SecurityGroupRule } from '@rivera/gen/rivera/recipe/v1/container';
import { parseRange } from '../../garden/addresses.js';
import { egressRuleFault } from '../../garden/egress-rule.js';
import type { EgressRule } from '../../garden/garden.js';

/** A rule of a definition that can't be enforced; the text is a failure reason. */
export class EgressError extends Error {
  override readonly name = 'EgressError';
}

/**
 * The garden's words for the firewall rules of a definition, in the same order (spec cell §32).
 * @throws EgressError that names the rule
 */
export function egressOf(rules: readonly SecurityGroupRule[]): EgressRule[] {
  return rules.map((rule, index) => {
    const converted = convert(rule, index);
    const fault = egressRuleFault(converted);
    if (fault !== undefined) throw new EgressError(`egress rule ${index}: ${fault}`);
    return converted;
  });
}

function convert(rule: SecurityGroupRule, index: number): EgressRule {
  const { ports, portRange, icmpInfo, log } = rule;
  return {
    // Whether it is one of them is checked with the rest.
    protocol: rule.protocol as EgressRule['protocol'],
    networks: rule.destinations.flatMap((list) => list.split(',')).map((text) => network(text.trim(), index)),
    ports: [
      ...ports.map((port) => ({ start: port, end: port })),
      ...(portRange ? [{ start: portRange.start, end: portRange.end }] : []),
    ],
    ...(icmpInfo && icmpInfo.type >= 0
      ? { icmp: { type: icmpInfo.type, ...(icmpInfo.code >= 0 ? { code: icmpInfo.code } : {}) } }
      : {}),
    log,
  };
}

function network(text: string, index: number): EgressRule['networks'][number] {
  const range = parseRange(text);
  if (range) return range;
  throw new EgressError(`egress rule ${index}: failed to convert destination to ip range: '${text}'`);
}
