"""A stand-in for HashiCorp Vault: no real one can be installed by the package managers that the tests use.

It serves the part of the documented HTTP API (developer.hashicorp.com/vault/api-docs) that a reader of secrets meets,
with the documented bodies: KV version 2 read and write, deletion and versions, a KV version 1 engine at `kv1`, tokens
(lookup, renewal, revocation, expiry) and AppRole, sealing, permission by a list of paths, and namespaces as a required
header where one is given. Not Vault: nothing is encrypted, and policies are plain prefixes.

`vault.py PORT [NAMESPACE]` prints `{"url": ...}` once it listens; the root token is `root`.
"""

import json
import sys
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACE = sys.argv[2] if len(sys.argv) > 2 else None
STATE = {"sealed": False, "kv2": {}, "kv1": {}, "roles": {}, "reads": 0}
# token -> {"paths": None for everything, "ends": None for never, "ttl": seconds, "renewable": bool}
TOKENS = {"root": {"paths": None, "ends": None, "ttl": 0, "renewable": False}}


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_token(paths, ttl, renewable=True):
    token = "hvs." + uuid.uuid4().hex
    TOKENS[token] = {"paths": paths, "ends": time.monotonic() + ttl if ttl else None, "ttl": ttl, "renewable": renewable}
    return token


def auth_of(token):
    entry = TOKENS[token]
    return {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0, "data": None,
            "auth": {"client_token": token, "accessor": uuid.uuid4().hex, "policies": ["default"], "metadata": None,
                     "lease_duration": entry["ttl"], "renewable": entry["renewable"], "token_type": "service"}}


def wrapped(data):
    return {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0, "data": data,
            "wrap_info": None, "warnings": None, "auth": None}


DENIED = (403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
INVALID = (403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]})
NOTHING = (404, {"errors": []})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=None):
        data = b"" if body is None else (json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path, _, query = self.path.partition("?")
        self.answer(*self.route(path.removeprefix("/v1/"), query, body))

    do_GET = do_POST = do_PUT = do_DELETE = do

    def route(self, path, query, body):
        if path == "sys/seal":
            STATE["sealed"] = True
            return 204, None
        if path == "sys/unseal":
            STATE["sealed"] = False
            return 200, {"sealed": False}
        if STATE["sealed"]:
            return 503, {"errors": ["Vault is sealed"]}
        if NAMESPACE and self.headers.get("X-Vault-Namespace") != NAMESPACE:
            return NOTHING
        if path == "auth/approle/login":
            role = STATE["roles"].get(body.get("role_id"))
            if role is None or role["secret_id"] != body.get("secret_id"):
                return 400, {"errors": ["invalid role or secret ID"]}
            return 200, auth_of(make_token(role["paths"], role["ttl"]))
        token = self.headers.get("X-Vault-Token")
        entry = TOKENS.get(token)
        if token is None:
            return 403, {"errors": ["permission denied"]}
        if entry is None or (entry["ends"] is not None and entry["ends"] < time.monotonic()):
            return INVALID
        if path == "auth/token/lookup-self":
            left = 0 if entry["ends"] is None else int(entry["ends"] - time.monotonic())
            return 200, wrapped({"id": token, "ttl": left, "creation_ttl": entry["ttl"], "renewable": entry["renewable"]})
        if path == "auth/token/renew-self":
            if not entry["renewable"]:
                return 400, {"errors": ["lease is not renewable"]}
            entry["ends"] = time.monotonic() + entry["ttl"]
            return 200, auth_of(token)
        if token == "root":
            if path == "auth/token/create":
                return 200, auth_of(make_token(body.get("paths"), body.get("ttl", 0)))
            if path == "auth/token/revoke":
                TOKENS.pop(body["token"], None)
                return 204, None
            if path.startswith("auth/approle/role/"):
                STATE["roles"][body["role_id"]] = body
                return 204, None
            if path == "auth/approle/revoke-all":
                for one in [one for one in TOKENS if one != "root"]:
                    TOKENS.pop(one)
                return 204, None
        if entry["paths"] is not None and not any(path.startswith(prefix) for prefix in entry["paths"]):
            return DENIED
        if path.startswith("kv1/"):
            if self.command != "GET":
                STATE["kv1"][path] = body
                return 204, None
            found = STATE["kv1"].get(path)
            return (200, wrapped(found)) if found is not None else NOTHING
        if path.startswith("secret/data/"):
            return self.kv2(path, query, body)
        if path.startswith("secret/"):
            return 404, {"errors": [], "warnings": ["Invalid path for a versioned K/V secrets engine. See the API docs "
                                                    "for the appropriate API endpoints to use."]}
        return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}

    def kv2(self, path, query, body):
        versions = STATE["kv2"].setdefault(path, [])
        if self.command in ("POST", "PUT"):
            versions.append({"data": body["data"], "created_time": now(), "deletion_time": ""})
            return 200, wrapped(self.metadata(versions, len(versions)))
        if not versions:
            return NOTHING
        number = int(query.removeprefix("version=") or 0) or len(versions)
        if number > len(versions):
            return NOTHING
        version = versions[number - 1]
        if self.command == "DELETE":
            version["deletion_time"] = now()
            return 204, None
        metadata = self.metadata(versions, number)
        if version["deletion_time"]:
            return 404, wrapped({"data": None, "metadata": metadata})
        return 200, wrapped({"data": version["data"], "metadata": metadata})

    @staticmethod
    def metadata(versions, number):
        version = versions[number - 1]
        return {"created_time": version["created_time"], "custom_metadata": None,
                "deletion_time": version["deletion_time"], "destroyed": False, "version": number}


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
server.serve_forever()
