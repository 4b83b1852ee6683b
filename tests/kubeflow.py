"""A stand-in for Kubeflow Pipelines: the part of the v2beta1 API that `decloud submit` uses.

What it receives is checked against the models of the client's own package, and the pipeline against
the schema of pipeline specs, strictly: an unknown key is refused with status 400.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

PREFIX = "/apis/v2beta1"
NOW = "2026-01-02T03:04:05Z"


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Kubeflow:
    """What the server holds, and how it behaves."""

    url: str = ""
    token: str | None = None
    """Only who shows it is served."""
    course: list[dict[str, Any]] = field(default_factory=list)
    """What the questions for a run are answered with, one after the other; the last one stays."""
    silent: int = 0
    """So many next questions get no answer."""
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        kind, _, name = path.removeprefix(f"{PREFIX}/").partition("/")
        if (method, kind) == ("GET", "healthz"):
            return {"multi_user": False}
        if (method, kind) == ("GET", "experiments"):
            return {"experiments": chosen(self.experiments, query)}
        if (method, kind) == ("POST", "experiments"):
            checked(body, kfp_server_api.V2beta1Experiment)
            self.experiments.append({**body, "experiment_id": f"e{len(self.experiments)}"})
            return self.experiments[-1]
        if (method, kind) == ("POST", "runs"):
            self._check_run(body)
            number = len(self.runs)
            self.runs.append(
                {**body, "run_id": f"r{number}", "state": "PENDING", "created_at": NOW}
            )
            return self.runs[-1]
        if (method, kind, name) == ("GET", "runs", ""):
            return {"runs": chosen(self.runs, query)}
        if (method, kind) == ("GET", "runs"):
            (run,) = (item for item in self.runs if item["run_id"] == name)
            step = self.course.pop(0) if len(self.course) > 1 else self.course[0]
            return {**run, **step}
        raise RefusedError(404, f"{method} {path} is not known")

    def _check_run(self, body: Any) -> None:
        checked(body, kfp_server_api.V2beta1Run)
        checked(body["runtime_config"], kfp_server_api.V2beta1RuntimeConfig)
        if body["experiment_id"] not in {item["experiment_id"] for item in self.experiments}:
            raise RefusedError(400, f"no experiment {body['experiment_id']}")
        sent = body["pipeline_spec"]
        spec = json_format.ParseDict(
            sent.get("pipeline_spec", sent), pipeline_spec_pb2.PipelineSpec()
        )
        if "platform_spec" in sent:
            json_format.ParseDict(sent["platform_spec"], pipeline_spec_pb2.PlatformSpec())
        known = spec.root.input_definitions.parameters
        for name in body["runtime_config"].get("parameters", {}):
            if name not in known:
                raise RefusedError(400, f"input {name} is not known")


def checked(body: Any, model: type[Any]) -> None:
    """Refuse what is no such model: a key that it has not, a value of another type."""
    unknown = set(body) - set(model.attribute_map.values())
    if unknown:
        raise RefusedError(400, f"{model.__name__}: unknown {sorted(unknown)}")

    @dataclass
    class Sent:
        data: str

    kfp_server_api.ApiClient().deserialize(Sent(json.dumps(body)), model.__name__)


def chosen(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """Apply a filter as the API has it."""
    for predicate in json.loads(query.get("filter") or '{"predicates": []}')["predicates"]:
        assert predicate["operation"] in ("EQUALS", 1)
        key, value = predicate["key"], predicate["stringValue"]
        items = [item for item in items if item.get(key) == value]
    return items


@contextmanager
def serve(kubeflow: Kubeflow) -> Iterator[Kubeflow]:
    """Serve on loopback; fills in the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

        def _serve(self, method: str) -> None:
            url = urlparse(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            if kubeflow.silent and url.path.startswith(f"{PREFIX}/runs/"):
                kubeflow.silent -= 1
                self.close_connection = True
                return
            try:
                if kubeflow.token and self.headers["Authorization"] != f"Bearer {kubeflow.token}":
                    raise RefusedError(401, "who are you")
                status, answer = 200, kubeflow.answer(method, url.path, query, body)
            except RefusedError as error:
                status, answer = error.status, {"message": error.message}
            except (json_format.ParseError, ValueError) as error:
                status, answer = 400, {"message": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kubeflow.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield kubeflow
        finally:
            server.shutdown()
            thread.join()
