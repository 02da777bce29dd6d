"""A small server on loopback that speaks the part of the Hub's protocol that finetext uses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

TOKEN = "hf_of_jane"
READ_ONLY = "hf_that_may_only_read"
USER = "jane"
LARGE = (".safetensors", ".bin")


@dataclass
class Repo:
    """A repository: branches to commits, commits to files."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str = "") -> str:
        """Put files into a branch; returns the commit."""
        seed = f"{len(self.commits)} {branch} {sorted(files)}"
        name = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[name] = files
        self.branches[branch] = name
        self.messages.append(message)
        return name

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit of a revision and its files."""
        name = self.branches.get(revision, revision)
        return (name, self.commits[name]) if name in self.commits else None


@dataclass
class Hub:
    """The server, what it holds, what it was asked, and what it is to do wrong.

    Attributes:
        url: where it listens.
        repos: "owner/name" to repository.
        stored: SHA-256 to the content of large files that were sent.
        asked: method and path of each request.
        faults: called with method and path; a status to answer, or "hang up".
        checked: the model cards whose metadata were sent to be checked.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: Callable[[str, str], int | str | None] = lambda method, path: None
    checked: list[str] = field(default_factory=list)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch of a repository holds now."""
        found = self.repos[name].at(branch)
        assert found is not None
        return found[1]

    def put(self, name: str, files: dict[str, bytes], private: bool = False) -> str:
        """Make a repository with files, as somebody else would; returns the commit."""
        return self.repos.setdefault(name, Repo(private)).commit("main", files)


@contextmanager
def serving() -> Iterator[Hub]:
    """Run the server while the body runs."""
    hub = Hub()
    handler = type("OfHub", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; the routes are those of huggingface.co."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        """Find the route of a request."""
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        parts = urlparse(self.path)
        self.query = parse_qs(parts.query)
        path = parts.path
        self.hub.asked.append((self.command, unquote(path)))
        fault = self.hub.faults(self.command, unquote(path))
        if fault == "hang up":
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(fault, int):
            self.answer({"error": "as the test wanted"}, fault)
            return
        for method, pattern, route in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                route(self, *map(unquote, match.groups()))
                return
        self.answer({"error": f"no route for {path}"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    @property
    def token(self) -> str:
        """The token of the request."""
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send JSON, or bytes as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, of in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, of)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str) -> None:
        """Send an error in the way of the Hub."""
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self.answer({"error": message}, status, headers)

    def may_write(self, name: str) -> bool:
        """Whether the token may write to a repository; answers if not."""
        if self.token not in (TOKEN, READ_ONLY):
            self.answer({"error": "Invalid credentials in Authorization header"}, 401)
        elif self.token == READ_ONLY or name.partition("/")[0] != USER:
            self.answer({"error": "You don't have the rights to do that"}, 403)
        else:
            return True
        return False

    def repo(self, name: str) -> Repo | None:
        """A repository that the token may see; answers if there is none."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self.token not in (TOKEN, READ_ONLY)):
            self.refuse(401 if not self.token else 404, "RepoNotFound", "Repository not found")
            return None
        return repo

    def files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a revision; answers if there is none."""
        repo = self.repo(name)
        found = None if repo is None else repo.at(revision)
        if repo is not None and found is None:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        return found

    def create(self) -> None:
        """POST /api/repos/create."""
        wanted = json.loads(self.body)
        name = f"{wanted['organization'] or USER}/{wanted['name']}"
        if not self.may_write(name):
            return
        url = {"url": f"{self.hub.url}/{name}"}
        if name in self.hub.repos:
            self.answer({"error": "You already created this model repo", **url}, 409)
            return
        repo = self.hub.repos[name] = Repo(wanted.get("visibility") == "private")
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.answer(url)

    def validate(self) -> None:
        """POST /api/validate-yaml."""
        content = json.loads(self.body)["content"]
        self.hub.checked.append(content)
        self.answer({"errors": [], "warnings": []})

    def branch(self, name: str, branch: str) -> None:
        """POST /api/models/NAME/branch/BRANCH."""
        repo = self.repo(name)
        if repo is None or not self.may_write(name):
            return
        if branch in repo.branches:
            self.answer({"error": "Reference already exists"}, 409)
            return
        repo.branches[branch] = repo.branches["main"]
        self.answer({})

    def info(self, name: str, revision: str = "main") -> None:
        """GET /api/models/NAME and /api/models/NAME/revision/REVISION."""
        found = self.files(name, revision)
        if found is None:
            return
        siblings = [{"rfilename": file} for file in found[1]]
        repo = self.hub.repos[name]
        about = {"id": name, "sha": found[0], "private": repo.private, "siblings": siblings}
        self.answer(about)

    def tree(self, name: str, revision: str) -> None:
        """GET /api/models/NAME/tree/REVISION."""
        found = self.files(name, revision)
        if found is not None:
            self.answer([entry(file, content) for file, content in found[1].items()])

    def preupload(self, name: str, revision: str) -> None:
        """POST /api/models/NAME/preupload/REVISION: which files are sent beside the commit."""
        found = self.files(name, revision)
        if found is None or not self.may_write(name):
            return
        answers = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            known = entry(path, found[1][path]) if path in found[1] else {}
            oid = known.get("lfs", known).get("oid")
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": answers})

    def batch(self, name: str) -> None:
        """POST /NAME.git/info/lfs/objects/batch: where large files are to be sent."""
        if not self.may_write(name):
            return
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            at = {"href": f"{self.hub.url}/store/{wanted['oid']}"}
            missing = wanted["oid"] not in self.hub.stored
            objects.append(wanted | ({"actions": {"upload": at}} if missing else {}))
        self.answer({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        """PUT /store/OID."""
        if hashlib.sha256(self.body).hexdigest() != oid:
            self.answer({"error": "wrong content"}, 400)
            return
        self.hub.stored[oid] = self.body
        self.answer({})

    def commit(self, name: str, revision: str) -> None:
        """POST /api/models/NAME/commit/REVISION: lines of JSON, all or nothing."""
        found = self.files(name, revision)
        if found is None or not self.may_write(name):
            return
        files, message = dict(found[1]), ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.repos[name].commit(revision, files, message)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self.answer({"success": True, "commitOid": commit, "commitUrl": url})

    def resolve(self, name: str, revision: str, file: str) -> None:
        """HEAD and GET /NAME/resolve/REVISION/FILE; large files lie on another host."""
        found = self.files(name, revision)
        if found is None:
            return
        commit = {"X-Repo-Commit": found[0]}
        if file not in found[1]:
            headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            self.answer({"error": "Entry not found"}, 404, headers | commit)
            return
        content, known = found[1][file], entry(file, found[1][file])
        if "lfs" in known:
            elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
            self.hub.stored[known["lfs"]["oid"]] = content
            linked = {
                "X-Linked-Etag": f'"{known["lfs"]["oid"]}"',
                "X-Linked-Size": str(len(content)),
            }
            where = {"Location": f"{elsewhere}/store/{known['lfs']['oid']}"}
            self.answer(b"", 302, commit | linked | where)
        else:
            self.answer(content, 200, commit | {"ETag": f'"{known["oid"]}"'})

    def fetch(self, oid: str) -> None:
        """GET /store/OID, without any token."""
        assert not self.token, "the token must not leave the Hub"
        self.answer(self.hub.stored[oid])


def entry(path: str, content: bytes) -> dict[str, Any]:
    """A file in the list of a repository; the oid is that of git."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    known = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE):
        oid = hashlib.sha256(content).hexdigest()
        known["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
    return known


_NAME = r"([^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/models/{_NAME}/branch/(.+)", Handler.branch),
    ("POST", f"/api/models/{_NAME}/preupload/(.+)", Handler.preupload),
    ("POST", f"/api/models/{_NAME}/commit/(.+)", Handler.commit),
    ("GET", f"/api/models/{_NAME}/revision/(.+)", Handler.info),
    ("GET", f"/api/models/{_NAME}/tree/(.+)", Handler.tree),
    ("GET", f"/api/models/{_NAME}", Handler.info),
    ("POST", f"/{_NAME}\\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/store/([0-9a-f]+)", Handler.store),
    ("GET", "/store/([0-9a-f]+)", Handler.fetch),
    ("HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
    ("GET", f"/{_NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
