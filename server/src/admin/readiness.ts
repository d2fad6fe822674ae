import type { BbsStanding } from '../bbs/bbs-role.js';
import type { Database } from '../database/pool.js';

/** A database that takes longer is of no use to a server whose lease lasts seconds. */
const DATABASE_TIMEOUT_MS = 2_000;
/** So often the database is asked, however often somebody asks here. */
const ASK_AGAIN_MS = 1_000;

export interface ReadinessOptions {
  readonly database: Pick<Database, 'query'>;
  /** Of the BBS, when this server has that role. */
  readonly bbs?: () => BbsStanding;
}

/** Whether a server does its work, or could at once: it leads or stands by, and its database answers. */
export class Readiness {
  private asked: { readonly atMs: number; readonly reason: Promise<string | undefined> } | undefined;

  constructor(private readonly options: ReadinessOptions) {}

  /** What stands against it; nothing: it is ready. */
  async reasons(): Promise<string[]> {
    const reasons: string[] = [];
    const database = await this.databaseReason();
    if (database !== undefined) reasons.push(database);
    const standing = this.options.bbs?.();
    if (standing === 'opening') reasons.push('this server has the lease and reads its state');
    if (standing === 'closed') reasons.push('the BBS of this server is closed');
    return reasons;
  }

  private databaseReason(): Promise<string | undefined> {
    const now = performance.now();
    if (this.asked === undefined || now - this.asked.atMs > ASK_AGAIN_MS) {
      this.asked = { atMs: now, reason: this.askDatabase() };
    }
    return this.asked.reason;
  }

  private async askDatabase(): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(
        () => resolve(`the database has not answered for ${DATABASE_TIMEOUT_MS} ms`),
        DATABASE_TIMEOUT_MS,
      );
    });
    // Why is in the log of whoever needed it; here it could name hosts and users to anybody who asks.
    const answer = this.options.database.query('SELECT 1').then(
      () => undefined,
      () => 'the database does not answer',
    );
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
