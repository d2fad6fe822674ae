import { usageError } from '../failures.js';

/** What cells make of their folder (mounts, runtime arguments, CNI settings) leaves no room for more. */
const ALLOWED = /^\/[A-Za-z0-9_./-]*$/;

/** The rule, for people. */
export const DATA_FOLDER_RULE = 'letters (A-Z a-z), digits and _ . - / only, no blanks';

/** Whether cells can keep their data there. @param dataDir an absolute path */
export function isUsableDataFolder(dataDir: string): boolean {
  return ALLOWED.test(dataDir);
}

/** @throws CliError (usage) that names the rule */
export function requireDataFolder(dataDir: string): void {
  if (isUsableDataFolder(dataDir)) return;
  throw usageError(
    `the data folder '${dataDir}' can't be used: its path has to be of ${DATA_FOLDER_RULE}`,
    'Choose another one:  rivera up --data DIR',
  );
}
