import { expect, it } from 'vitest';
import { byteSize } from './byte-size.js';
import { redactUrls } from './redact.js';

it('leaves the secrets of URLs out of texts', () => {
  expect(redactUrls('Get "https://user:pw@blobs.example:8443/a/b?sig=x&e=1#f": refused')).toBe(
    'Get "https://blobs.example:8443/a/b?…": refused',
  );
  expect(redactUrls('http://plain.example/a is fine')).toBe('http://plain.example/a is fine');
  expect(redactUrls('http://[bad')).toBe('(URL)');
});

it('writes sizes with at most one decimal', () => {
  expect([0, 512, 1024, 1536, 5_000_000, 2 ** 40].map(byteSize)).toEqual(['0B', '512B', '1K', '1.5K', '4.8M', '1T']);
});
