"""A hub on this machine: the few answers that pulling and pushing need, over real HTTP, so that
what runs is the hub's own library."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_owner"


def commit_of(files):
    """A commit's hash: of what is in it."""
    digest = hashlib.sha1()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


@dataclass
class StoredRepository:
    """Branches, and the files of every commit by path."""

    private: bool = False
    gated: bool = False
    branches: dict = field(default_factory=dict)
    commits: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)

    def commit(self, files, branch="main", message=""):
        sha = commit_of(files)
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    @property
    def files(self):
        return self.commits[self.branches["main"]]

    def find(self, revision):
        return revision if revision in self.commits else self.branches.get(revision)


class FakeHub(ThreadingHTTPServer):
    """`requests` are the methods and paths that were asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def store(self, name, folder, **settings):
        """A repository with the files of a folder."""
        repository = self.repositories.setdefault(name, StoredRepository(**settings))
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }
        repository.commit(files)
        return repository

    def downloads(self):
        """The files that were asked for, by path."""
        resolved = (path.split("/resolve/", 1) for method, path in self.requests if method == "GET")
        return {parts[1].split("/", 1)[1] for parts in resolved if len(parts) == 2}


@contextmanager
def running_hub():
    with FakeHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, *arguments):
        pass

    def answer(self, status, content=b"", **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.setdefault("Content_Type", "application/json")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code="", message="no"):
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    @property
    def owned(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def repository(self, name):
        found = self.server.repositories.get(name)
        if found is None or (found.private and not self.owned):
            # As the hub does: who is not logged in is not told whether there is one.
            self.refuse(404 if self.owned else 401, "RepoNotFound", "Repository not found")
            return None
        return found

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append((self.command, path))
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            return self.tell("/".join(parts[2:4]), parts[4:])
        if parts[2:3] == ["resolve"]:
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.refuse(404)

    do_HEAD = do_GET

    def tell(self, name, rest):
        repository = self.repository(name)
        if repository is None:
            return None
        kind, revision = (rest[0], "/".join(rest[1:])) if rest else ("revision", "main")
        sha = repository.find(revision)
        if sha is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[sha]
        if kind == "revision":
            siblings = [{"rfilename": path} for path in files]
            told = {"id": name, "sha": sha, "siblings": siblings, "private": repository.private}
            return self.answer(200, told)
        return self.answer(
            200,
            [
                {"type": "file", "path": path, "size": len(data), "oid": commit_of({path: data})}
                for path, data in files.items()
            ],
        )

    def resolve(self, name, revision, path):
        repository = self.repository(name)
        if repository is None:
            return None
        if repository.gated and not self.owned:
            return self.refuse(403, "GatedRepo", "Access to this repository is restricted")
        sha = repository.find(revision)
        data = repository.commits[sha].get(path)
        if data is None:
            return self.refuse(404, "EntryNotFound")
        return self.answer(200, data, ETag=f'"{commit_of({path: data})}"', X_Repo_Commit=sha)

    def do_POST(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append((self.command, path))
        body = self.body()
        if path == "api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if not self.owned:
            return self.refuse(401, message="Invalid username or password.")
        if path == "api/repos/create":
            return self.create(json.loads(body))
        parts = path.split("/")
        name, action = "/".join(parts[2:4]), parts[4]
        repository = self.repository(name)
        if repository is None:
            return None
        if action == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in asked]
            return self.answer(200, {"files": modes})
        return self.commit(name, repository, body)

    def create(self, asked):
        name = f"{asked.get('organization', 'owner')}/{asked['name']}"
        if name.split("/")[0] != "owner":
            return self.refuse(403, message=f"You don't have the rights to create {name}")
        if name in self.server.repositories:
            return self.answer(
                409, {"url": f"{self.server.url}/{name}", "error": "created already"}
            )
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.server.repositories[name] = StoredRepository(private=private)
        self.server.repositories[name].commit({".gitattributes": b""})
        return self.answer(200, {"url": f"{self.server.url}/{name}", "name": name})

    def commit(self, name, repository, body):
        files, message = dict(repository.files), ""
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                message = value["summary"]
            elif operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(files, message=message)
        url = f"{self.server.url}/{name}/commit/{sha}"
        return self.answer(200, {"commitUrl": url, "commitOid": sha})
