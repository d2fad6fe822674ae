import { expect, it } from 'vitest';
import { BENCHMARKS } from './catalogue.js';
import { requestOf, UsageError, usage } from './command-line.js';

it('takes names and sizes', () => {
  const { benchmarks, sizes, json } = requestOf(['desire', 'burst', '--lrps', '2000', '--json']);
  expect(benchmarks.map(([name]) => name)).toEqual(['desire', 'burst']);
  expect(sizes).toEqual({ lrps: 2000, count: undefined, cells: undefined });
  expect(json).toBe(true);
});

it.each([
  [[]],
  [['nothing']],
  [['toString']],
  [['desire', '--lrps', '0']],
  [['desire', '--lrps', '1e3']],
  [['desire', '--lrps', '-5']],
  [['desire', '--sizes', '5']],
])('refuses %j', (args) => {
  expect(() => requestOf(args)).toThrow(UsageError);
});

it('lists every benchmark', () => {
  expect(requestOf(['--help']).help).toBe(true);
  for (const name of Object.keys(BENCHMARKS)) expect(usage()).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
});
