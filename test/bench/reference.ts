/** What the reference reaches on two such cores with MariaDB beside it; sizes where they matter. */
export const REFERENCE = {
  desires: '1,000 LRPs/s',
  claims: '1,700 claims/s',
  starts: '1,600 starts/s',
  crashes: '1,050 crashes/s',
  taskLives: '470 lives/s',
  taskLifeP50: '35-70 ms',
  convergencePass: '1.1 s at 20,000, 2.4 s at 50,000',
  listActual: '0.97 s at 50,000',
  listDesired: '5.1 s at 50,000',
  memoryAfterBulkReads: '1,500 MiB at 50,000',
  watchedTransitions: '760 claims/s',
  eventsDelivered: '38,000 events/s',
} as const;
