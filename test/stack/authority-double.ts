import { createServer, type Server } from 'node:http';

/** A Cloud Foundry as the proxy sees it: changes one-time codes for tokens, and says who may reach what. A real HTTP server. */
export class AuthorityDouble {
  readonly asked: string[] = [];
  readonly codes = new Map<string, string>();
  /** App guid → process guid. */
  readonly apps = new Map<string, string>();
  private readonly tokens = new Set<string>();

  private constructor(private readonly server: Server) {}

  static async start(port: number): Promise<AuthorityDouble> {
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const [status, answer] = double.answer(request.url ?? '', request.headers.authorization ?? '', body);
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      });
    });
    const double = new AuthorityDouble(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return double;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private answer(url: string, authorization: string, body: string): [number, object] {
    this.asked.push(url);
    if (url === '/oauth/token') {
      const form = new URLSearchParams(body);
      const user = this.codes.get(form.get('code') ?? '');
      const ours = authorization === `Basic ${Buffer.from('ssh-proxy:hush').toString('base64')}`;
      if (!ours || form.get('grant_type') !== 'authorization_code' || user === undefined) return [401, {}];
      this.codes.delete(form.get('code') ?? '');
      const payload = Buffer.from(JSON.stringify({ user_name: user, user_id: 'u-1' })).toString('base64url');
      const token = `h.${payload}.s`;
      this.tokens.add(token);
      return [200, { access_token: token, token_type: 'bearer' }];
    }
    const app = /^\/internal\/apps\/([^/]+)\/ssh_access\/\d+$/.exec(url)?.[1];
    const allowed = app !== undefined && this.tokens.has(authorization.replace(/^bearer /, ''));
    const processGuid = allowed ? this.apps.get(app) : undefined;
    return processGuid === undefined ? [404, {}] : [200, { process_guid: processGuid }];
  }
}
