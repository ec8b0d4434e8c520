// The client against a real hub: list what can be connected, make a connection, see it appear, remove it, follow it
// all. Arguments: URL KEY; prints what it saw as JSON. tests/it/typescript.rs runs it.
import { Hub, HubError } from '../src/index.ts';
import type { HubEvent, IntegrationType, UserIntegration } from '../src/index.ts';

declare const process: { argv: string[] };

const [url = '', key = ''] = process.argv.slice(2);
const hub = new Hub(url, key);
const stop = new AbortController();
const seen: HubEvent[] = [];
const following = (async () => {
  for await (const event of hub.events({ types: 'connection.*,integration.*', signal: stop.signal })) {
    seen.push(event);
    if (event.type === 'connection.removed') return;
  }
})();
// Until the stream stands, what happens is not for it.
while (seen.length === 0) {
  await hub.send('put', '/api/v1/integrations/{slug}', {
    path: { slug: 'probe' },
    body: { name: `Probe ${Math.random()}`, type: 'mcp', category: 'other', config_schema: { type: 'object' } },
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
}

const { integrations } = await hub.send('get', '/api/v1/integrations', { query: { limit: 500 } });
const kinds: IntegrationType[] = integrations.map((one) => one.type);
const made: UserIntegration = await hub.send('post', '/api/v1/connections', {
  body: { integration: 'probe', name: 'Typed', connection_config: { protocol: 'http', url: 'http://127.0.0.1:1/mcp' } },
});
const list = await hub.send('get', '/api/v1/connections');
await hub.send('delete', '/api/v1/connections/{connection}', { path: { connection: made.key } });
const left = await hub.send('get', '/api/v1/connections');
await following;
stop.abort();

let refused = '';
try {
  await new Hub(url, 'trk_wrong').send('get', '/api/v1/status');
} catch (error) {
  if (error instanceof HubError) refused = error.problem.code;
}
// What has no such parameter, or lacks its body, does not compile.
// @ts-expect-error a path parameter is missing
const wrong = () => hub.send('delete', '/api/v1/connections/{connection}');
// @ts-expect-error there is no such path
const nowhere = () => hub.send('get', '/api/v1/nothing');

console.log(JSON.stringify({
  kinds: kinds.length, key: made.key, status: made.status, refused,
  listed: list.connections.map((one) => one.key), left: left.connections.length,
  events: seen.map((event) => event.type).filter((type) => type.startsWith('connection.')),
  unused: [wrong, nowhere].length,
}));
