// One conversation through version 2 of the official TypeScript SDK: connect, list, call two tools, print what was
// seen as JSON. Arguments: URL KEY MODE PLAIN_TOOL ASKING_TOOL, where MODE is the SDK's own word: legacy, auto, or a
// revision to insist on. The asking tool may put a question to the user, which this client answers.
import { createRequire } from 'node:module';
import process from 'node:process';

const require = createRequire(`${process.env.TRUNKLINE_TEST_NPM}/`);
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

const [url, key, mode, plain, asking] = process.argv.slice(2);
const asked = [];

const client = new Client(
  { name: 'typescript-v2', version: '1' },
  {
    capabilities: { elicitation: { form: {} } },
    versionNegotiation: { mode: mode === 'legacy' || mode === 'auto' ? mode : { pin: mode } },
  },
);
client.setRequestHandler('elicitation/create', async (request) => {
  asked.push(request.params.message);
  return { action: 'accept', content: { username: 'ada', email: 'ada@example.com' } };
});
await client.connect(
  new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${key}` } } }),
);

const textOf = (result) => result.content.filter((block) => block.type === 'text').map((block) => block.text).join('\n');
const tools = [];
let cursor;
do {
  const page = await client.listTools(cursor === undefined ? {} : { cursor });
  tools.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor !== undefined);

const seen = {
  version: client.getNegotiatedProtocolVersion(),
  tools,
  plain: textOf(await client.callTool({ name: plain, arguments: {} })),
  asking: textOf(await client.callTool({ name: asking, arguments: { message: 'Who are you?' } })),
  asked,
};
await client.close();
console.log(JSON.stringify(seen));
