import { processFacts } from './proc.js';

/** Variable that names the agent which started a command. */
export const MARK = 'RIVERA_AGENT';
const own = `${process.pid}.${processFacts(process.pid)?.startTime ?? 0}`;

/** Tells the children of this agent from those of others: every command gets it, supervisors and containers do not. */
export const agentMark: Readonly<Record<string, string>> = { [MARK]: own };
