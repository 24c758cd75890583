"""A service whose management port is open: what its operator's machines ask."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from support.service import Service, free_port, http


class ManagedService(Service):
    """`Service` with a management port; ``settings`` go into a file of their own."""

    def __init__(self, data: Path, *, settings: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.management_port = free_port()
        self.management = f"http://127.0.0.1:{self.management_port}"
        arguments: Sequence[str] = ["--management-port", str(self.management_port)]
        if settings:
            data.mkdir(parents=True, exist_ok=True)
            file = data / "settings.toml"
            file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
            arguments = [*arguments, "--config", str(file)]
        super().__init__(data, arguments=arguments, **{"patience": None, **options})

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and report of ``/health/ready``."""
        status, _, body = http("GET", self.management + "/health/ready")
        return status, json.loads(body)

    def samples(self) -> list[Sample]:
        """Everything that a scrape reads."""
        status, headers, body = http("GET", self.management + "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return [s for family in text_string_to_metric_families(body.decode()) for s in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over workers and over the labels that are not given."""
        found = [s for s in self.samples() if s.name == name and labels.items() <= s.labels.items()]
        return sum(sample.value for sample in found)


@contextmanager
def managed(data: Path, **options: Any) -> Iterator[ManagedService]:
    """A running one."""
    with ManagedService(data, **options) as service:
        assert isinstance(service, ManagedService)
        yield service
