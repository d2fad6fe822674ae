/** Runs `call` for 0..count-1, so many at a time. @returns how long each took, in milliseconds */
export async function byCallers(
  { callers, count }: { callers: number; count: number },
  call: (number: number) => Promise<void>,
): Promise<number[]> {
  const latenciesMs: number[] = [];
  let next = 0;
  const caller = async () => {
    while (next < count) {
      const from = performance.now();
      await call(next++);
      latenciesMs.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return latenciesMs;
}
