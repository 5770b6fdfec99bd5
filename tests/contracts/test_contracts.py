"""Every adapter under the contract of its port. A class for each; that none is missing is a test of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import isclass, iscoroutinefunction, isfunction
from pathlib import Path
from typing import ClassVar, Final

import pytest
from tests.contracts.postgres_house import CAPABILITIES

import assign_testing
from assign_core.events import Event
from assign_core.ports import (
    AsyncBookingStore,
    AsyncMailer,
    AsyncPlanner,
    AsyncTelemetry,
    BookingStore,
    Mailer,
    Planner,
    Telemetry,
)
from assign_floor import Floor
from assign_memory import (
    AsyncFloorPlanner,
    AsyncMemoryMailer,
    AsyncMemoryStore,
    AsyncMemoryTelemetry,
    AsyncScriptedPlanner,
    FloorPlanner,
    MemoryMailer,
    MemoryStore,
    MemoryTelemetry,
    ScriptedPlanner,
)
from assign_postgres import (
    AsyncPostgresMailer,
    AsyncPostgresPlanner,
    AsyncPostgresStore,
    AsyncPostgresTelemetry,
    AsyncTransactionTelemetry,
    PostgresMailer,
    PostgresPlanner,
    PostgresStore,
    PostgresTelemetry,
    TransactionTelemetry,
)
from assign_runtime import BackgroundTelemetry
from assign_testing import (
    MEMORY_CAPABILITIES,
    Capability,
    Contract,
    EventLoop,
    MailerContract,
    MakeHouse,
    MemoryHouse,
    PlannerContract,
    StoreContract,
    TelemetryContract,
    WaitedPlanner,
    async_memory_house,
    memory_house,
)

ADAPTERS: Final = Path(assign_testing.__file__).parents[1]


class InMemory:
    capabilities: ClassVar = MEMORY_CAPABILITIES
    examples = 150

    @pytest.fixture
    def make_house(self, memory: MakeHouse) -> MakeHouse:
        return memory


class InAsyncMemory:
    capabilities: ClassVar = MEMORY_CAPABILITIES
    examples = 25

    @pytest.fixture
    def make_house(self, async_memory: MakeHouse) -> MakeHouse:
        return async_memory


class OnPostgres:
    capabilities = CAPABILITIES
    examples = 50

    @pytest.fixture
    def make_house(self, postgres: MakeHouse) -> MakeHouse:
        return postgres


class OnAsyncPostgres:
    capabilities = CAPABILITIES
    examples = 25

    @pytest.fixture
    def make_house(self, async_postgres: MakeHouse) -> MakeHouse:
        return async_postgres


class TestMemoryStore(InMemory, StoreContract):
    implementation = MemoryStore


class TestAsyncMemoryStore(InAsyncMemory, StoreContract):
    implementation = AsyncMemoryStore


class TestPostgresStore(OnPostgres, StoreContract):
    implementation = PostgresStore


class TestAsyncPostgresStore(OnAsyncPostgres, StoreContract):
    implementation = AsyncPostgresStore


class TestFloorPlanner(InMemory, PlannerContract):
    implementation = FloorPlanner


class TestAsyncFloorPlanner(InAsyncMemory, PlannerContract):
    implementation = AsyncFloorPlanner


class TestPostgresPlanner(OnPostgres, PlannerContract):
    implementation = PostgresPlanner


class TestAsyncPostgresPlanner(OnAsyncPostgres, PlannerContract):
    implementation = AsyncPostgresPlanner


class TestMemoryMailer(InMemory, MailerContract):
    implementation = MemoryMailer


class TestAsyncMemoryMailer(InAsyncMemory, MailerContract):
    implementation = AsyncMemoryMailer


class TestPostgresMailer(OnPostgres, MailerContract):
    implementation = PostgresMailer


class TestAsyncPostgresMailer(OnAsyncPostgres, MailerContract):
    implementation = AsyncPostgresMailer


class TestMemoryTelemetry(InMemory, TelemetryContract):
    implementation = MemoryTelemetry


class TestAsyncMemoryTelemetry(InAsyncMemory, TelemetryContract):
    implementation = AsyncMemoryTelemetry


class TestBackgroundTelemetry(InMemory, TelemetryContract):
    """Before the one in memory."""

    implementation = BackgroundTelemetry

    @pytest.fixture
    def make_house(self) -> Iterator[MakeHouse]:
        with ExitStack() as leaving:
            yield partial(background_house, leaving)


class TestPostgresTelemetry(OnPostgres, TelemetryContract):
    implementation = PostgresTelemetry


class TestAsyncPostgresTelemetry(OnAsyncPostgres, TelemetryContract):
    implementation = AsyncPostgresTelemetry


class InATransaction:
    """Of the host's, which sees what is not committed. Some of the store's contract delivers e-mails, as is done of
    committed ones only; so the store is judged in tests/postgres/test_postgres_transaction.py."""

    capabilities = frozenset({Capability.OUTAGE})
    examples = 5

    @pytest.fixture
    def make_house(self, inside: MakeHouse) -> MakeHouse:
        return inside


class TestPlannerInATransaction(InATransaction, PlannerContract):
    implementation = PostgresPlanner


class TestTransactionTelemetry(InATransaction, TelemetryContract):
    implementation = TransactionTelemetry


class TestAsyncTransactionTelemetry(InATransaction, TelemetryContract):
    implementation = AsyncTransactionTelemetry

    @pytest.fixture
    def make_house(self, async_inside: MakeHouse) -> MakeHouse:
        return async_inside


class TestScriptedPlanner(InMemory, PlannerContract):
    """A script that is used up is the real search, which takes no time."""

    implementation = ScriptedPlanner
    capabilities = MEMORY_CAPABILITIES - {Capability.KEEPS_TIME}

    @pytest.fixture
    def make_house(self) -> MakeHouse:
        return scripted_house


class TestAsyncScriptedPlanner(InAsyncMemory, PlannerContract):
    implementation = AsyncScriptedPlanner
    capabilities = MEMORY_CAPABILITIES - {Capability.KEEPS_TIME}

    @pytest.fixture
    def make_house(self, loop: EventLoop) -> MakeHouse:
        return partial(async_scripted_house, loop)


def scripted_house(floor: Floor | None = None, *, deduplicates: bool = False) -> MemoryHouse:
    house = memory_house(floor, deduplicates=deduplicates)
    house.planner = ScriptedPlanner(FloorPlanner(house.db), [], sleep=house.runtime.sleep)
    return house


@dataclass(kw_only=True)
class BackgroundHouse(MemoryHouse):
    """Whose events arrive by a thread."""

    background: BackgroundTelemetry

    def events(self) -> Sequence[Event]:
        assert self.background.flush(20)
        return self.kept.events


def background_house(leaving: ExitStack, floor: Floor | None = None, *, deduplicates: bool = False) -> BackgroundHouse:
    made = memory_house(floor, deduplicates=deduplicates)
    background = leaving.enter_context(BackgroundTelemetry(made.kept, made.runtime))
    house = BackgroundHouse(
        db=made.db, runtime=made.runtime, post=made.post, planner=made.planner, kept=made.kept, background=background
    )
    house.telemetry = background
    return house


def async_scripted_house(loop: EventLoop, floor: Floor | None = None, *, deduplicates: bool = False) -> MemoryHouse:
    house = async_memory_house(loop, floor, deduplicates=deduplicates)
    planner = AsyncScriptedPlanner(FloorPlanner(house.db), [], sleep=asyncio.sleep)
    house.planner = WaitedPlanner(planner, loop)
    return house


# That no adapter is without one.

CONTRACTS: Final[Mapping[type[object], type[Contract]]] = {
    BookingStore: StoreContract,
    AsyncBookingStore: StoreContract,
    Planner: PlannerContract,
    AsyncPlanner: PlannerContract,
    Mailer: MailerContract,
    AsyncMailer: MailerContract,
    Telemetry: TelemetryContract,
    AsyncTelemetry: TelemetryContract,
}


def methods(port: type[object]) -> dict[str, bool]:
    """A port's methods, and whether each is to be awaited."""
    return {name: iscoroutinefunction(found) for name, found in vars(port).items() if is_method(name, found)}


def is_method(name: str, found: object) -> bool:
    return isfunction(found) and not name.startswith("_")


def conforms(candidate: type[object], port: type[object]) -> bool:
    return all(
        callable(found := getattr(candidate, name, None)) and iscoroutinefunction(found) is awaited
        for name, awaited in methods(port).items()
    )


def adapters() -> dict[type[object], type[object]]:
    """Every class that an adapter package exports and that is a port, with that port."""
    found: dict[type[object], type[object]] = {}
    for folder in sorted(ADAPTERS.glob("assign_*/__init__.py")):
        package = import_module(folder.parent.name)
        if package is assign_testing:
            continue  # its classes turn one port into another, for the contracts themselves
        exported = [getattr(package, name) for name in getattr(package, "__all__", ())]
        for each in exported:
            for port in CONTRACTS:
                if isclass(each) and not is_protocol(each) and conforms(each, port):
                    found[each] = port
    return found


def is_protocol(candidate: type[object]) -> bool:
    return bool(getattr(candidate, "_is_protocol", False))


def judged(contract: type[Contract]) -> set[type[object]]:
    """What the subclasses of a contract in this file judge."""
    return {
        each.implementation
        for each in globals().values()
        if isclass(each) and each.__module__ == __name__ and issubclass(each, contract)
    }


def test_every_port_has_methods_to_be_recognised_by() -> None:
    assert all(methods(port) for port in CONTRACTS)


def test_every_adapter_that_is_exported_is_under_the_contract_of_its_port() -> None:
    found = adapters()
    assert {MemoryStore, AsyncPostgresStore, PostgresPlanner, AsyncMemoryMailer, PostgresTelemetry} <= found.keys()
    missing = [each.__name__ for each, port in found.items() if each not in judged(CONTRACTS[port])]
    assert not missing, f"no contract class for {missing}: add one to {Path(__file__).name}"
