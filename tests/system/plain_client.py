"""The client that the acceptance flow of the contract describes: plain HTTP, one connection per request.

It uses nothing but the standard library's ``http.client``, knows nothing of DPIP's own code, and sends no
header that curl would not send.
"""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class PlainClient:
    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 60.0) -> None:
        self.host, self.port, self.token, self.timeout = host, port, "", timeout

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = HTTPConnection(self.host, self.port, timeout=self.timeout)
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def login(self, user: str, password: str) -> Answer:
        basic = b64encode(f"{user}:{password}".encode()).decode()
        answer = self.request("POST", "/login", headers={"Authorization": f"Basic {basic}"})
        self.token = answer.json["token"]
        return answer

    def create_workload(self) -> str:
        answer = self.request("POST", "/workloads")
        assert answer.status == 201, answer.body
        return str(answer.json["workload_id"])

    def upload(
        self, workload_id: str, name: str, data: bytes, send_type: bool = False, key: str | None = None
    ) -> Answer:
        fields = {"workload_id": workload_id, **({"type": "original"} if send_type else {})}
        return self.upload_files(fields, [(name, data)], key)

    def upload_files(
        self, fields: Mapping[str, str], files: Sequence[tuple[str, bytes]], key: str | None = None
    ) -> Answer:
        """All of them in one request."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="{name}"\r\n'
            "Content-Type: image/png\r\n\r\n".encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        parts += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.request("POST", "/images", body, headers)

    def workload(self, workload_id: str) -> Any:
        answer = self.request("GET", f"/workloads/{workload_id}")
        assert answer.status == 200, answer.body
        return answer.json

    def download(self, workload_id: str, image_id: str) -> Answer:
        """With a form body on the GET, as the course's scripts send it."""
        return self.request(
            "GET",
            f"/images/{image_id}",
            f"workload_id={workload_id}&type=filtered".encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
