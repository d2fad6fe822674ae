import type { ServerChannel, TcpipRequestInfo } from 'ssh2';
import { type ChannelContext, TOO_MANY } from './channel-context.js';
import { isGone, whyLost } from './farewell.js';
import { Tunnel } from './tunnel.js';
import { OPEN_FAILURE } from './wire.js';

/** A client's wish for a connection. */
export interface ForwardRequest {
  readonly accept: () => ServerChannel;
  readonly reject: () => void;
  readonly info: TcpipRequestInfo;
}

/** Serves `-L` and `-D`: a connection from inside the container. What can't be reached is a channel that can't be opened, and why. */
export async function forwardOut({ accept, reject, info }: ForwardRequest, context: ChannelContext): Promise<void> {
  const { login, cell, signal, audit, wire } = context;
  const facts = { kind: 'direct-tcpip', to: `${info.destIP.slice(0, 255)}:${info.destPort}` };
  if (!context.enter()) {
    audit.channelRefused({ ...facts, why: TOO_MANY });
    return wire.refuse(reject, OPEN_FAILURE.resourceShortage, TOO_MANY);
  }
  try {
    const address = { host: info.destIP, port: info.destPort };
    const endpoint = { $case: 'address', value: address } as const;
    const tunnel = await Tunnel.open(cell, login.target.location.target, endpoint, signal);
    if (signal.aborted) return tunnel.close();
    const done = audit.channelOpened(facts);
    const failure = await tunnel.run(accept(), context);
    context.count(tunnel.traffic);
    done({ ...tunnel.traffic, ...(failure !== undefined && { failure }) });
  } catch (error) {
    const why = whyLost(error, login.target.location.cellId);
    audit.channelRefused({ ...facts, why });
    if (signal.aborted) return;
    wire.refuse(reject, OPEN_FAILURE.connectFailed, why);
    if (isGone(error)) context.end(why);
  } finally {
    context.leave();
  }
}
