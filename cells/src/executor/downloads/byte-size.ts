const UNITS = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** A size as progress lines write it: `512B`, `1.5K`, `2M`. */
export function byteSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = value.toFixed(1);
  return `${digits.endsWith('.0') ? digits.slice(0, -2) : digits}${UNITS[unit]}`;
}
