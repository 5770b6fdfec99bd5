"""Every house under the contracts: in memory and on PostgreSQL, each with blocking and with asynchronous ports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from tests.contracts.postgres_house import AsyncEngines, PostgresHouses
from tests.postgres.conftest import Server, pytest_generate_tests, server, template

from assign_testing import EventLoop, MakeHouse, async_memory_house, memory_house

__all__ = ["pytest_generate_tests", "server", "template"]


@pytest.fixture(scope="session")
def loop() -> Iterator[EventLoop]:
    """The event loop of everything asynchronous."""
    with EventLoop() as running:
        yield running


@pytest.fixture
def memory() -> MakeHouse:
    return memory_house


@pytest.fixture
def async_memory(loop: EventLoop) -> MakeHouse:
    return partial(async_memory_house, loop)


@pytest.fixture(scope="session")
def database(server: Server, template: str) -> Iterator[str]:
    """A migrated database that the contracts share; each house empties it first."""
    name = server.create(template=template)
    yield server.dsn(name)
    server.drop(name)


@pytest.fixture(scope="session")
def postgres_houses(database: str) -> Iterator[PostgresHouses]:
    with PostgresHouses(database) as houses:
        yield houses


@pytest.fixture(scope="session")
def async_engines(database: str, loop: EventLoop) -> Iterator[AsyncEngines]:
    with AsyncEngines(database, loop) as engines:
        yield engines


@pytest.fixture
def postgres(postgres_houses: PostgresHouses) -> Iterator[MakeHouse]:
    yield postgres_houses.make
    postgres_houses.close()


@pytest.fixture
def async_postgres(postgres_houses: PostgresHouses, async_engines: AsyncEngines) -> Iterator[MakeHouse]:
    yield partial(postgres_houses.make_async, async_engines)
    postgres_houses.close()


@pytest.fixture
def inside(postgres_houses: PostgresHouses) -> Iterator[MakeHouse]:
    """In a transaction of the host's."""
    yield postgres_houses.make_inside
    postgres_houses.close()


@pytest.fixture
def async_inside(postgres_houses: PostgresHouses, async_engines: AsyncEngines) -> Iterator[MakeHouse]:
    yield partial(postgres_houses.make_async_inside, async_engines)
    postgres_houses.close()
