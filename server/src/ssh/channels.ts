import type { Connection } from 'ssh2';
import { type ChannelContext, TOO_MANY } from './channel-context.js';
import { forwardOut } from './forwarding.js';
import { RemoteForwards } from './remote-forwards.js';
import { serveSession } from './session.js';
import { OPEN_FAILURE } from './wire.js';

/** Serves what a client asks for once it is logged in. */
export function serveChannels(connection: Connection, context: ChannelContext): void {
  const { audit, wire } = context;
  connection.on('session', (accept, reject) => {
    if (!context.enter()) {
      audit.channelRefused({ kind: 'session', why: TOO_MANY });
      return wire.refuse(reject, OPEN_FAILURE.resourceShortage, TOO_MANY);
    }
    const session = accept();
    session.once('close', () => context.leave());
    serveSession(session, context);
  });
  connection.on('tcpip', (accept, reject, info) => context.follow(forwardOut({ accept, reject, info }, context)));
  const forwards = new RemoteForwards(connection, context);
  connection.on('request', (accept, reject, name, info) => {
    if (name === 'tcpip-forward') context.follow(forwards.listen(info as never, accept, reject));
    else if (name === 'cancel-tcpip-forward' && forwards.cancel(info as never)) accept?.();
    else reject?.();
  });
}
