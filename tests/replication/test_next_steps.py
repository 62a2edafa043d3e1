"""Each refusal has a next step of its own."""

from __future__ import annotations

from fleetbox_replication.next_steps import next_step


def test_a_bucket_that_is_being_removed_is_no_conflict_of_records() -> None:
    """Both answer 409; the destination's message tells them apart."""
    removed = next_step(409, "r1--sensor", "Bucket 'r1--sensor' is being deleted")
    conflict = next_step(409, "r1--sensor", "A record with timestamp 1 already exists")
    assert "wait" in removed
    assert "r1--sensor" in removed
    assert "both records" in conflict
    assert next_step(409, "r1--sensor") == conflict
