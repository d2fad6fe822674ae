import { expect, it } from 'vitest';
import { imageGeometry } from './disk.js';

const MB = 1024 * 1024;

it('leaves room for the filesystem’s own tables', () => {
  const { imageBytes, inodes } = imageGeometry({ diskBytes: 64 * MB });
  expect(imageBytes).toBeGreaterThan(64 * MB + inodes * 256);
  expect(imageBytes).toBeLessThan(70 * MB);
  expect(imageBytes % 4096).toBe(0);
});

it('never offers more than 200 000 files, and always some', () => {
  expect(imageGeometry({ diskBytes: 100 * 1024 * MB }).inodes).toBe(200_000);
  expect(imageGeometry({ diskBytes: 1 }).inodes).toBe(1024);
  expect(imageGeometry({ diskBytes: 64 * MB, inodes: 500 }).inodes).toBe(500);
});
