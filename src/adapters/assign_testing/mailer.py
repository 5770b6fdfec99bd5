"""The mailer: at most one hand-over of each e-mail, none lost, and an unknown outcome that stays unknown."""
# ruff: noqa: S101 - a contract asserts

from __future__ import annotations

import threading
from typing import ClassVar

import pytest

from assign_core.booking import EmailState
from assign_core.last_result import EmailVariant
from assign_core.outbox import EmailNotSent, EmailRefused, MailSystemAway
from assign_core.ports import Confirmed, EmailKind, Record
from assign_testing.house import Capability, Contract, House, MakeHouse, T
from assign_testing.steps import acquire, confirmation, confirmed, email, hold, result, stored


class _Crash(BaseException):
    """The process dies here."""


def _notice(house: House, attempt_id: str = "a1") -> Record:
    notice = email(kind=EmailKind.STAFF_NOTICE)
    return Record(booking_id="b", attempt_id=attempt_id, result=result(house), email=notice)


class MailerContract(Contract):
    """:class:`assign_core.ports.Mailer`: handing e-mails over."""

    sending_seconds: ClassVar[float] = 60
    """How long a sender may take before it is taken for dead."""

    @pytest.fixture
    def queued(self, house: House) -> House:
        """A confirmed booking whose e-mail is queued."""
        house.book()
        confirmed(house)
        return house

    def test_what_nobody_queued_is_not_sent(self, house: House) -> None:
        house.book()
        with pytest.raises(LookupError, match="b:confirmation:0"):
            house.mailer.deliver(email(), timeout=T)
        assert not house.post.keys

    def test_lesson_05_the_flag_follows_the_ledger(self, queued: House) -> None:
        assert not stored(queued).email_sent
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.ledger() == {"b:confirmation:0": EmailState.SENT}
        assert stored(queued).email_sent
        assert stored(queued).email_variant is EmailVariant.STANDARD
        assert queued.post.keys == ["b:confirmation:0"]

    def test_lesson_04_the_same_mail_is_handed_over_once_from_any_path(self, queued: House) -> None:
        for _ in range(3):
            assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_lesson_06_a_refused_mail_sets_no_flag_and_is_not_tried_again(self, queued: House) -> None:
        queued.post.failures = [EmailRefused("no address")]
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.FAILED
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.FAILED
        assert not stored(queued).email_sent
        assert len(queued.post.keys) == 1

    def test_a_mail_that_was_certainly_not_handed_over_waits_and_is_tried_again(self, queued: House) -> None:
        queued.post.failures = [EmailNotSent("nobody answers")]
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.CLAIMED
        assert queued.ledger() == {"b:confirmation:0": EmailState.CLAIMED}
        assert not stored(queued).email_sent
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_lesson_07_an_error_is_never_taken_for_somebody_elses_claim(self, queued: House) -> None:
        queued.post.failures = [ConnectionError("reset")]
        with pytest.raises(ConnectionError):
            queued.mailer.deliver(email(), timeout=T)
        assert queued.ledger() == {"b:confirmation:0": EmailState.UNKNOWN}
        assert not stored(queued).email_sent

    def test_an_unknown_mail_is_not_silently_sent_again(self, queued: House) -> None:
        queued.post.failures = [ConnectionError("reset")]
        with pytest.raises(ConnectionError):
            queued.mailer.deliver(email(), timeout=T)
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.UNKNOWN
        assert len(queued.post.keys) == 1

    def test_an_unknown_mail_is_sent_again_under_the_same_key_by_a_transport_that_deduplicates(
        self, make_house: MakeHouse
    ) -> None:
        house = make_house(deduplicates=True)
        house.book()
        confirmed(house)
        house.post.failures = [ConnectionError("reset")]
        with pytest.raises(ConnectionError):
            house.mailer.deliver(email(), timeout=T)
        assert house.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert house.post.keys == ["b:confirmation:0"] * 2
        assert house.post.accepted == ["b:confirmation:0"]
        assert stored(house).email_sent

    @pytest.mark.parametrize("deduplicates", [False, True])
    def test_a_sender_that_died_in_the_middle_leaves_an_unknown_mail(
        self, make_house: MakeHouse, deduplicates: bool
    ) -> None:
        self.needs(Capability.RELAY)
        house = make_house(deduplicates=deduplicates)
        house.book()
        confirmed(house)
        # The process vanishes between marking and settling: nothing of its clean-up runs.
        assert house.begin_sending(email()) is None
        house.relay()
        assert house.ledger() == {"b:confirmation:0": EmailState.CLAIMED}, "somebody is sending it"
        house.advance(self.sending_seconds)
        expected = EmailState.SENT if deduplicates else EmailState.UNKNOWN
        assert house.relay() == {"b:confirmation:0": expected}
        assert house.ledger() == {"b:confirmation:0": expected}
        assert house.post.accepted == (["b:confirmation:0"] if deduplicates else [])

    def test_a_sending_lease_ends_to_the_second(self, queued: House) -> None:
        self.needs(Capability.RELAY)
        assert queued.begin_sending(email()) is None
        queued.advance(self.sending_seconds - 1)
        assert queued.begin_sending(email()) is EmailState.CLAIMED
        queued.advance(1)
        assert queued.begin_sending(email()) is EmailState.UNKNOWN

    @pytest.mark.parametrize("found", [ConnectionError, EmailNotSent, EmailRefused])
    def test_what_was_sent_stays_sent_whatever_a_sender_finds_that_has_overrun_its_lease(
        self, make_house: MakeHouse, found: type[Exception]
    ) -> None:
        """It comes after another, and knows less."""
        self.needs(Capability.RELAY)
        house = make_house(deduplicates=True)
        house.book()
        confirmed(house)

        def meanwhile() -> None:
            house.post.during = lambda: None
            house.advance(self.sending_seconds)
            assert house.relay() == {"b:confirmation:0": EmailState.SENT}
            house.post.failures = [found("too late")]

        house.post.during = meanwhile
        try:
            assert house.mailer.deliver(email(), timeout=T) is EmailState.SENT
        except ConnectionError:
            assert found is ConnectionError
        assert house.ledger() == {"b:confirmation:0": EmailState.SENT}
        assert stored(house).email_sent
        assert house.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert house.post.accepted == ["b:confirmation:0"]

    def test_a_queued_mail_that_nobody_delivered_is_found_by_the_relay(self, queued: House) -> None:
        self.needs(Capability.RELAY)
        assert queued.relay() == {"b:confirmation:0": EmailState.SENT}
        assert queued.relay() == {}
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_a_relay_goes_on_after_a_mail_that_fails(self, house: House) -> None:
        self.needs(Capability.RELAY)
        for name in ("b", "c"):
            house.book(name)
            confirmed(house, name, name)
            house.advance(1)
        house.post.failures = [ConnectionError("reset")]
        assert house.relay() == {"b:confirmation:0": EmailState.UNKNOWN, "c:confirmation:0": EmailState.SENT}

    def test_an_interrupted_send_is_unknown_and_the_interruption_goes_on(self, queued: House) -> None:
        queued.post.failures = [_Crash()]
        with pytest.raises(_Crash):
            queued.mailer.deliver(email(), timeout=T)
        assert queued.ledger() == {"b:confirmation:0": EmailState.UNKNOWN}

    def test_two_senders_at_once_hand_over_one(self, queued: House) -> None:
        in_the_middle = []
        queued.post.during = lambda: in_the_middle.append(queued.mailer.deliver(email(), timeout=T))
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert in_the_middle == [EmailState.CLAIMED]
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_many_threads_hand_over_one(self, queued: House) -> None:
        ready = threading.Barrier(8)
        states: list[EmailState] = []

        def send() -> None:
            ready.wait(20)
            states.append(queued.mailer.deliver(email(), timeout=T))

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(states) == 8
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_a_modified_booking_has_a_mail_and_a_flag_of_its_own(self, queued: House) -> None:
        queued.mailer.deliver(email(), timeout=T)
        queued.modify("b", party=3)
        acquire(queued, "a2")
        modification = email(kind=EmailKind.MODIFICATION, revision=1)
        queued.seat("b", ["large"])
        queued.store.record(
            Record(
                booking_id="b",
                attempt_id="a2",
                result=result(queued, "a2", success=True, revision=1),
                email=modification,
            ),
            timeout=T,
        )
        assert not stored(queued).email_sent
        queued.mailer.deliver(modification, timeout=T)
        assert stored(queued).email_variant is EmailVariant.MODIFIED
        assert queued.post.accepted == ["b:confirmation:0", "b:modification:1"]

    def test_a_late_delivery_of_an_older_revision_does_not_flag_the_newer_one(self, queued: House) -> None:
        """Its sender has begun, so it goes out; it tells the guest nothing of the new revision."""

        def meanwhile() -> None:
            queued.modify("b", party=3)
            late = Record(booking_id="b", attempt_id="a2", result=result(queued, "a2", revision=1))
            queued.store.record(late, timeout=T)

        queued.post.during = meanwhile
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert stored(queued).revision == 1
        assert not stored(queued).email_sent

    def test_a_confirmation_is_not_sent_about_a_booking_that_the_guest_has_moved(self, queued: House) -> None:
        """Its words are made from the row as it is now: "confirmed", at a time that nobody has confirmed."""
        queued.modify("b", party=4)
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.FAILED
        assert (queued.post.keys, queued.ledger()) == ([], {})
        assert not stored(queued).email_sent
        acquire(queued, "a2")
        entry = confirmation(queued, hold(queued, attempt_id="a2"), "a2", revision=1)
        assert isinstance(queued.store.confirm(entry, timeout=T), Confirmed)
        assert queued.mailer.deliver(email(kind=EmailKind.MODIFICATION, revision=1), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:modification:1"]

    @pytest.mark.parametrize("status", ["cancelled", "pending", "no_show"])
    def test_a_confirmation_is_not_sent_about_a_booking_that_is_not_seated_any_more(
        self, queued: House, status: str
    ) -> None:
        queued.set_status("b", status)
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.FAILED
        assert (queued.post.keys, queued.ledger()) == ([], {})

    def test_a_booking_that_is_taken_back_and_confirmed_again_has_its_mail(self, queued: House) -> None:
        """P4, none is lost: of the same revision, and so under the same key."""
        queued.set_status("b", "cancelled")
        queued.mailer.deliver(email(), timeout=T)
        queued.set_status("b", "pending")
        confirmed(queued, attempt_id="a2")
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:confirmation:0"]
        assert stored(queued).email_sent

    def test_a_booking_that_the_staff_seat_again_has_its_mail(self, queued: House) -> None:
        """Nobody confirms it anew; but whoever looks at it next queues what the row calls for."""
        queued.set_status("b", "cancelled")
        queued.mailer.deliver(email(), timeout=T)
        queued.seat("b", ["small"])
        acquire(queued, "a2")
        look = Record(booking_id="b", attempt_id="a2", result=None, revision=0, email=email())
        assert queued.store.record(look, timeout=T).email is EmailState.CLAIMED
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_a_mail_that_nobody_has_looked_at_meanwhile_is_still_due(self, queued: House) -> None:
        queued.set_status("b", "cancelled")
        queued.seat("b", ["small"])
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT

    def test_a_mail_that_was_sent_is_not_sent_again_to_a_booking_that_is_taken_back(self, queued: House) -> None:
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        queued.set_status("b", "cancelled")
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        queued.set_status("b", "pending")
        confirmed(queued, attempt_id="a2")
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.post.accepted == ["b:confirmation:0"]

    def test_a_mail_that_was_certainly_not_sent_is_withdrawn_too(self, queued: House) -> None:
        queued.post.failures = [EmailNotSent("later")]
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.CLAIMED
        queued.modify("b", party=4)
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.FAILED
        assert queued.post.accepted == []

    def test_an_unknown_mail_that_is_no_longer_true_is_not_sent_again(self, make_house: MakeHouse) -> None:
        """If the first did not arrive, the second would be the only one, and false. It stays for somebody to see."""
        house = make_house(deduplicates=True)
        house.book()
        confirmed(house)
        house.post.failures = [ConnectionError("reset")]
        with pytest.raises(ConnectionError):
            house.mailer.deliver(email(), timeout=T)
        house.modify("b", party=4)
        assert house.mailer.deliver(email(), timeout=T) is EmailState.UNKNOWN
        assert house.ledger() == {"b:confirmation:0": EmailState.UNKNOWN}
        assert len(house.post.keys) == 1

    def test_a_relay_withdraws_what_is_no_longer_true(self, queued: House) -> None:
        self.needs(Capability.RELAY)
        queued.modify("b", party=4)
        assert queued.relay() == {"b:confirmation:0": EmailState.FAILED}
        assert (queued.post.keys, queued.ledger()) == ([], {})

    def test_a_mail_system_that_is_away_ends_a_round(self, house: House) -> None:
        """Whoever is next would wait for it as long."""
        self.needs(Capability.RELAY)
        for name in ("b", "c"):
            house.book(name)
            confirmed(house, name, name)
            house.advance(1)
        house.post.failures = [MailSystemAway("nobody answers")]
        assert house.relay() == {"b:confirmation:0": EmailState.CLAIMED}
        assert house.post.keys == ["b:confirmation:0"]
        house.advance(3600)
        assert set(house.relay().values()) == {EmailState.SENT}
        assert sorted(house.post.accepted) == ["b:confirmation:0", "c:confirmation:0"]

    def test_a_mail_system_that_is_away_fails_no_delivery(self, queued: House) -> None:
        queued.post.failures = [MailSystemAway("nobody answers")]
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.CLAIMED
        assert queued.ledger() == {"b:confirmation:0": EmailState.CLAIMED}

    def test_a_damaged_blob_does_not_stop_a_delivery(self, queued: House) -> None:
        queued.plant_blob("{")
        assert queued.mailer.deliver(email(), timeout=T) is EmailState.SENT
        assert queued.blob() == "{"

    def test_a_staff_notice_sets_no_guests_flag(self, house: House) -> None:
        house.book()
        acquire(house)
        notice = email(kind=EmailKind.STAFF_NOTICE)
        house.store.record(Record(booking_id="b", attempt_id="a1", result=result(house), email=notice), timeout=T)
        assert house.mailer.deliver(notice, timeout=T) is EmailState.SENT
        assert not stored(house).email_sent

    def test_lesson_28_a_staff_notice_that_waited_is_not_sent_about_a_seated_booking(self, house: House) -> None:
        """Its sender died, and by the time the relay comes by somebody has seated the guests."""
        self.needs(Capability.RELAY)
        house.book()
        acquire(house)
        house.store.record(_notice(house), timeout=T)
        house.seat("b", ["small"])
        house.relay()
        assert house.post.accepted == []

    def test_a_notice_that_is_being_sent_is_not_forgotten_when_it_no_longer_applies(self, house: House) -> None:
        """Its sender has handed it over by then. To forget that is to send it again, should the booking reopen."""
        self.needs(Capability.RELAY)
        house.book()
        acquire(house)
        house.store.record(_notice(house), timeout=T)

        def meanwhile() -> None:
            house.post.during = lambda: None
            house.seat("b", ["small"])
            house.relay()

        house.post.during = meanwhile
        assert house.mailer.deliver(email(kind=EmailKind.STAFF_NOTICE), timeout=T) is EmailState.SENT
        house.set_status("b", "pending")
        acquire(house, "a2")
        house.store.record(_notice(house, "a2"), timeout=T)
        house.relay()
        assert house.post.accepted == ["b:staff_notice:0"]

    def test_a_notice_whose_sender_died_is_unknown_although_it_no_longer_applies(self, house: House) -> None:
        self.needs(Capability.RELAY)
        house.book()
        acquire(house)
        house.store.record(_notice(house), timeout=T)
        assert house.begin_sending(email(kind=EmailKind.STAFF_NOTICE)) is None
        house.advance(self.sending_seconds + 1)
        house.seat("b", ["small"])
        house.relay()
        assert house.ledger() == {"b:staff_notice:0": EmailState.UNKNOWN}
