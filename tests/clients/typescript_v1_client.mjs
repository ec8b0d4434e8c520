// One conversation through version 1 of the official TypeScript SDK: connect, list, call two tools, print what was
// seen as JSON. Arguments: URL KEY MODE PLAIN_TOOL ASKING_TOOL, where MODE is `http` (Streamable HTTP) or `sse` (the
// transport of 2024). The asking tool may put a question to the user, which this client answers.
import { createRequire } from 'node:module';
import process from 'node:process';

const require = createRequire(`${process.env.TRUNKLINE_TEST_NPM}/`);
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { SSEClientTransport } = require('@modelcontextprotocol/sdk/client/sse.js');
const { ElicitRequestSchema } = require('@modelcontextprotocol/sdk/types.js');

const [url, key, mode, plain, asking] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${key}` };
const asked = [];

const client = new Client({ name: 'typescript-v1', version: '1' }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push(request.params.message);
  return { action: 'accept', content: { username: 'ada', email: 'ada@example.com' } };
});

let version;
const transport =
  mode === 'sse'
    ? new SSEClientTransport(new URL(url), { requestInit: { headers } })
    : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
// The SDK tells its transport which revision was agreed on, and nobody else.
transport.setProtocolVersion = ((inner) => (agreed) => {
  version = agreed;
  inner?.call(transport, agreed);
})(transport.setProtocolVersion);
await client.connect(transport);

const textOf = (result) => result.content.filter((block) => block.type === 'text').map((block) => block.text).join('\n');
const tools = [];
let cursor;
do {
  const page = await client.listTools(cursor === undefined ? {} : { cursor });
  tools.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor !== undefined);

const seen = {
  version,
  tools,
  plain: textOf(await client.callTool({ name: plain, arguments: {} })),
  asking: textOf(await client.callTool({ name: asking, arguments: { message: 'Who are you?' } })),
  asked,
};
await client.close();
console.log(JSON.stringify(seen));
