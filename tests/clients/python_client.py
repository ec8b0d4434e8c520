"""One conversation through the official Python SDK: connect, list, call two tools, print what was seen as JSON.

Arguments: URL KEY MODE PLAIN_TOOL ASKING_TOOL, where MODE is the SDK's own word: legacy, auto, or a revision.
The asking tool may put a question to the user, which this client answers.
"""

import asyncio
import json
import sys

import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

asked: list[str] = []


async def answer(_context, params: types.ElicitRequestParams) -> types.ElicitResult:
    asked.append(params.message)
    return types.ElicitResult(action="accept", content={"username": "ada", "email": "ada@example.com"})


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))


async def list_all(client: Client) -> list[str]:
    names, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        names.extend(tool.name for tool in page.tools)
        cursor = page.next_cursor
        if cursor is None:
            return names


async def main() -> None:
    url, key, mode, plain, asking = sys.argv[1:6]
    http = create_mcp_http_client(headers={"Authorization": f"Bearer {key}"})
    async with http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=answer) as client:
            seen = {
                "version": client.protocol_version,
                "tools": await list_all(client),
                "plain": text_of(await client.call_tool(plain, {})),
                "asking": text_of(await client.call_tool(asking, {"message": "Who are you?"})),
                "asked": asked,
            }
    print(json.dumps(seen))


asyncio.run(main())
