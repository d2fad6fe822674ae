import { assertMachineReady, MachineNotReadyError } from '@rivera/cells/machine/machine';
import { localError } from '../failures.js';

/**
 * Refuses to start what could not work, with everything that is missing at once and how to get it.
 * @throws CliError (local)
 */
export async function requireMachine(dataDir: string): Promise<void> {
  try {
    await assertMachineReady({ dataDir });
  } catch (error) {
    if (!(error instanceof MachineNotReadyError)) throw error;
    const [first = '', ...rest] = error.message.split('\n');
    throw localError(
      first,
      [...rest.map((line) => line.replace(/^ {2}/, '')), 'See everything:  rivera doctor'],
      error,
    );
  }
}
