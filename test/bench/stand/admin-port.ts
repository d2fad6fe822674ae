/** Metrics of a server at one moment. */
export class Metrics {
  constructor(private readonly text: string) {}

  /** Sum of the series of a metric that have these labels; 0 when there are none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    let sum = 0;
    for (const line of this.text.split('\n')) {
      if (!line.startsWith(name)) continue;
      const [, series = '', value] = /^\w+(\{.*\})? (\S+)$/.exec(line) ?? [];
      const exact = line.charAt(name.length) === '{' || line.charAt(name.length) === ' ';
      if (exact && wanted.every((pair) => series.includes(pair))) sum += Number(value);
    }
    return sum;
  }
}

/** Where a server tells its metrics. */
export class AdminPort {
  constructor(private readonly address: string) {}

  async metrics(): Promise<Metrics> {
    const response = await fetch(`http://${this.address}/metrics`);
    if (!response.ok) throw new Error(`${this.address}/metrics answered ${response.status}`);
    return new Metrics(await response.text());
  }
}
