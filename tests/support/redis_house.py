"""Two hosts of one installation on PostgreSQL and Redis, both real."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import Answer
from support.postgres import QUICK, Postgres
from support.redis_server import RedisServer, redis_server
from support.service import Service
from tillit_server.storage.spending import AHEAD

PATIENCE = 2.0
"""Seconds: between what is shipped and what a busy test machine may need, for a server that hangs takes it all."""


@dataclass
class House:
    """The hosts have data directories of their own; database, Redis, master key and issuer are shared."""

    redis: RedisServer
    settings: Path
    first: Service
    second: Service
    backstage: Backstage
    offset: float = 0.0

    def ask(self, ehr: SwiftEhr, form: dict[str, str], proof: str, *, host: int = 0) -> Answer:
        """The answer of a host to a request for a token."""
        service = (self.first, self.second)[host]
        answer = ehr.send(form, proof, url=service.origin + "/connect/token")
        assert isinstance(answer, Answer)
        return answer

    def request(self, ehr: SwiftEhr) -> tuple[dict[str, str], str]:
        """A request for a token that has not been sent yet."""
        return ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()

    def pass_the_fence(self) -> None:
        """Let so much time pass that what is made now was certainly made after a fence."""
        self.offset += AHEAD + 2
        for service in (self.first, self.second):
            service.set_clock(offset=self.offset)

    def well(self, ehr: SwiftEhr, *, seconds: float = 10.0) -> bool:
        """Whether both hosts issue tokens again by themselves."""

        def issued() -> bool:
            return all(self.ask(ehr, *self.request(ehr), host=host).status == 200 for host in (0, 1))

        if any(self.ask(ehr, *self.request(ehr), host=host).status != 200 for host in (0, 1)):
            self.pass_the_fence()
        return eventually(issued, seconds=seconds)

    def storm(self, ehr: SwiftEhr, form: dict[str, str], proof: str, *, times: int = 32) -> list[int]:
        """The statuses of one request that is sent many times at once, to both hosts in turn."""
        found: list[int] = []
        start = threading.Barrier(times)

        def send(number: int) -> None:
            start.wait()
            found.append(self.ask(ehr, form, proof, host=number % 2).status)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def settings_for(path: Path, database: str, redis: str) -> Path:
    """Settings of a development installation on both servers."""
    lines = ["dev = true", f'storage_url = "{database}"', f'storage_shared_url = "{redis}"']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def house(home: Path) -> Iterator[House]:
    """Both hosts up, past the fence with which a house begins."""
    with Postgres(*QUICK) as postgres, redis_server() as redis:
        settings = settings_for(home / "tillit.toml", postgres.migrated_database(), redis.url)
        options = ("--config", str(settings))
        with Service(home / "first", arguments=options, patience=PATIENCE) as first:
            more = (*options, "--issuer", first.issuer)
            second = Service(home / "second", workers=1, arguments=more, patience=PATIENCE)
            shutil.copytree(first.data / "keys", second.data / "keys")
            with second:
                backstage = Backstage(first, settings)
                built = House(redis, settings, first, second, backstage)
                built.pass_the_fence()
                yield built
                backstage.close()
