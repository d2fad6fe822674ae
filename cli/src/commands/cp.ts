import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { type ContainerPath, parsePlace } from '../copy/places.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { count } from '../terminal/text.js';
import { withSuggestion } from './names.js';

/** How often progress is shown. */
const SHOW_MS = 100;
const MB = 1e6;

/** `rivera cp SRC DST`: files and folders into a container or out of it. */
export function addCp(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('cp')
      .argument('<src>', 'a path here, or NAME[/INDEX]:PATH in a container')
      .argument('<dst>', 'the same; one of the two is in a container')
      .description('copy files and folders into a container or out of it'),
  ).option('-u, --user <user>', 'whose the files are there (default root)');
  examples(
    command,
    ['rivera cp site hello/0:/srv/', 'the folder becomes /srv/site'],
    ['rivera cp site hello/0:/srv/www', 'the folder becomes /srv/www'],
    ['rivera cp hello:/var/log/app.log .', 'a file of instance 0 into this folder'],
  );
  command.addHelpText(
    'after',
    '\nFolders are copied whole, with modes and times. Of a container, links and devices are left out. The LRP need not let SSH in.',
  );
  perform<{ user?: string }>(command, io, outcome, async (session, [src = '', dst = ''], { user }) => {
    const [from, to] = [parsePlace(src), parsePlace(dst)];
    if ((from.kind === 'container') === (to.kind === 'container')) {
      throw usageError('one of the two is in a container, and one is not', 'rivera cp FILE NAME/INDEX:/PATH');
    }
    const inside = (from.kind === 'container' ? from : to) as ContainerPath;
    return withSuggestion(session, 'lrp', inside.processGuid, async (client) => {
      const { upload, download } = await import('../copy/transfer.js');
      const { signal } = session;
      const told = showing(session);
      const options = { client, inside, cwd: io.cwd, user, signal, moved: told.moved };
      const result =
        from.kind === 'here'
          ? await upload({ ...options, path: from.path })
          : await download({ ...options, path: (to as { path: string }).path });
      told.done();
      if (session.out.json) await session.out.line(result);
      else {
        const left =
          result.leftOut > 0 ? `; ${count(result.leftOut, 'link or device', 'links or devices')} left out` : '';
        await session.out.note(`${count(result.files, 'file')}, ${(result.bytes / MB).toFixed(1)} MB${left}\n`);
      }
      return undefined;
    });
  });
}

function showing(session: Session): { moved: (bytes: number, total: number | undefined) => void; done: () => void } {
  const progress = new Progress(session.out);
  const { now } = session.io;
  const since = now();
  let last = 0;
  return {
    moved: (bytes, total) => {
      if (!session.out.watched || now() - last < SHOW_MS) return;
      last = now();
      const speed = bytes / MB / Math.max(0.001, (last - since) / 1000);
      const part = total ? `${Math.floor((bytes / total) * 100)} %  ` : '';
      progress.show(`${part}${(bytes / MB).toFixed(1)} MB  ${speed.toFixed(1)} MB/s`);
    },
    done: () => progress.done(),
  };
}
