"""The session clock: monotonic, whatever the wall clock does."""

from fleetbox.clock import Clock


def test_a_wall_clock_step_does_not_bend_time() -> None:
    """After a step of the wall clock the session clock runs on, and says how far off it is."""
    wall, mono = [1_000_000_000_000], [5_000]
    clock = Clock(lambda: wall[0], lambda: mono[0])
    mono[0] += 2_000
    wall[0] -= 60_000_000_000

    assert clock.now_ns() == 1_000_000_002_000
    assert clock.now_us() == 1_000_000_002
    assert clock.step_ns() == -60_000_002_000
    assert clock.anew().now_ns() == wall[0]
    assert clock.anew().step_ns() == 0
