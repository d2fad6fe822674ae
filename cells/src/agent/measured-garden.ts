import type {
  ContainerStatus,
  Garden,
  GardenCapacity,
  GardenContainer,
  GardenError,
  GardenMetrics,
  GardenSpec,
  ImageFetching,
} from '../garden/garden.js';

/** How long one container's creation or destruction took, in milliseconds, and whether it went well. */
export type ReportGardenWork = (work: { kind: 'create' | 'destroy'; ok: boolean; ms: number }) => void;

/** A garden whose creations and destructions are timed. */
export class MeasuredGarden implements Garden {
  constructor(
    private readonly garden: Garden,
    private readonly report: ReportGardenWork,
  ) {}

  get backend(): Garden['backend'] {
    return this.garden.backend;
  }

  get imageSchemes(): readonly string[] {
    return this.garden.imageSchemes;
  }

  start(): Promise<void> {
    return this.garden.start();
  }

  ping(): Promise<void> {
    return this.garden.ping();
  }

  capacity(): Promise<GardenCapacity> {
    return this.garden.capacity();
  }

  preloadedRootFs(): Promise<string[]> {
    return this.garden.preloadedRootFs();
  }

  create(spec: GardenSpec, fetching?: ImageFetching): Promise<GardenContainer> {
    return this.timed('create', () => this.garden.create(spec, fetching));
  }

  list(properties?: Readonly<Record<string, string>>): GardenContainer[] {
    return this.garden.list(properties);
  }

  bulkStatus(handles: readonly string[]): Promise<Map<string, ContainerStatus | GardenError>> {
    return this.garden.bulkStatus(handles);
  }

  bulkMetrics(handles: readonly string[]): Promise<Map<string, GardenMetrics | GardenError>> {
    return this.garden.bulkMetrics(handles);
  }

  lookup(handle: string): GardenContainer | undefined {
    return this.garden.lookup(handle);
  }

  destroy(handle: string): Promise<void> {
    return this.timed('destroy', () => this.garden.destroy(handle));
  }

  dissolve(): Promise<void> {
    return this.garden.dissolve();
  }

  close(): Promise<void> {
    return this.garden.close();
  }

  private async timed<T>(kind: 'create' | 'destroy', work: () => Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    let ok = false;
    try {
      const result = await work();
      ok = true;
      return result;
    } finally {
      this.report({ kind, ok, ms: performance.now() - startedAtMs });
    }
  }
}
