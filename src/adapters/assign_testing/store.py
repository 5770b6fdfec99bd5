"""The booking store's contract: what the flows rely on, whatever the bookings are kept in."""

from __future__ import annotations

from assign_testing.confirms import ConfirmContract
from assign_testing.due import DueContract
from assign_testing.leases import LeaseContract
from assign_testing.machine import MachineContract
from assign_testing.records import RecordContract


class StoreContract(LeaseContract, ConfirmContract, RecordContract, DueContract, MachineContract):
    """:class:`assign_core.ports.BookingStore`: leases, fences, merging, and when a job is due."""
