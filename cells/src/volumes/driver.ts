/** A volume that a container asks for. */
export interface Volume {
  /** A shared volume may be in several containers at a time, a dedicated one in one. */
  kind: 'shared' | 'dedicated';
  /** The driver's own name of it. */
  id: string;
  /** What the definition says to the driver, usually JSON; empty: nothing. */
  mountConfig: string;
  /** Of dedicated ones. */
  deviceConfig: string;
}

/**
 * Somebody who has volumes. Both methods may be called again for what is done already, as after a crash nobody knows; whatever a
 * driver does in the meantime outlives this program.
 */
export interface VolumeDriver {
  /** What definitions name; the auction places work that names it only on cells that have it. */
  readonly name: string;
  /** Readies itself. What an earlier life mounted stays: these are the uses that were not told to be over. */
  start(uses: readonly { container: string; volume: Volume }[]): Promise<void>;
  /**
   * Makes a volume available on this machine; resolves with a directory. Its files have the owners that containers see.
   * @throws VolumeError
   */
  mount(container: string, volume: Volume): Promise<string>;
  /** The container is gone, or never came to be. */
  unmount(container: string, volume: Volume): Promise<void>;
}

/** A volume that can't be had. Its text is fit for users: it names nothing of this machine. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}
