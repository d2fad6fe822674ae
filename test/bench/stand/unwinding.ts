/** What is to be undone, latest last. */
const pending: (() => Promise<void>)[] = [];

/** Runs `body`, then `undo`, once, whatever becomes of `body`, also when the program is interrupted meanwhile. */
export async function unwinding<T>(undo: () => Promise<void>, body: () => Promise<T>): Promise<T> {
  let undone: Promise<void> | undefined;
  const once = () => {
    undone ??= undo();
    return undone;
  };
  pending.push(once);
  try {
    return await body();
  } finally {
    await once();
    pending.splice(pending.indexOf(once), 1);
  }
}

let interrupted = false;

/** Whether everything is being undone: what fails from now on fails because of it. */
export function isInterrupted(): boolean {
  return interrupted;
}

/** Undoes everything that is under way, latest first. */
export async function unwindAll(): Promise<void> {
  interrupted = true;
  for (const undo of [...pending].reverse()) {
    // What is left must still be undone; the failure is told.
    await undo().catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  }
}
