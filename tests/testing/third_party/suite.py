"""The whole suite over the SQLite adapter: one fixture, and what the house can do."""

from __future__ import annotations

import pytest
from sqlite_adapter import SqliteMailer, SqliteStore
from sqlite_house import sqlite_house
from sqlite_planner import SqlitePlanner
from sqlite_telemetry import SqliteTelemetry

from assign_testing import (
    Capability,
    MailerContract,
    MakeHouse,
    PlannerContract,
    StoreContract,
    TelemetryContract,
)


class OnSqlite:
    capabilities = frozenset({Capability.RELAY, Capability.LARGE_BLOBS, Capability.KEEPS_TIME})

    @pytest.fixture
    def make_house(self) -> MakeHouse:
        return sqlite_house


class TestSqliteStore(OnSqlite, StoreContract):
    implementation = SqliteStore


class TestSqliteMailer(OnSqlite, MailerContract):
    implementation = SqliteMailer


class TestSqlitePlanner(OnSqlite, PlannerContract):
    implementation = SqlitePlanner


class TestSqliteTelemetry(OnSqlite, TelemetryContract):
    implementation = SqliteTelemetry
