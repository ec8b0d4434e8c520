// A server on version 2 of the official TypeScript SDK that speaks only the newest revision, over HTTP on a free
// loopback port. Prints {"url": ...} once it listens.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import process from 'node:process';

const require = createRequire(`${process.env.TRUNKLINE_TEST_NPM}/`);
const { McpServer, createMcpHandler } = require('@modelcontextprotocol/server');
const { toNodeHandler } = require('@modelcontextprotocol/node');
const { z } = require('zod');

const handler = createMcpHandler(
  () => {
    const server = new McpServer({ name: 'typescript-v2', version: '1' });
    server.registerTool(
      'echo',
      { description: 'Says it again', inputSchema: z.object({ message: z.string() }) },
      async ({ message }) => ({ content: [{ type: 'text', text: `Echo: ${message}` }] }),
    );
    return server;
  },
  { legacy: 'reject' },
);

const http = createServer(toNodeHandler(handler));
http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${http.address().port}/mcp` }));
});
