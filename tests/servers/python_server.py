"""A server on the official Python SDK that speaks both generations, over HTTP on a free loopback port.

Prints {"url": ...} before it listens; the port is its own from then on.
"""

import json
import socket

import uvicorn
from mcp.server import MCPServer

server = MCPServer("python")


@server.tool()
def echo(message: str) -> str:
    """Says it again"""
    return f"Echo: {message}"


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])
