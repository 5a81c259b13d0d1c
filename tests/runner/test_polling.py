"""When a batch is left alone by a worker that polls."""

from batches.runner.polling import POLL_S, Rests


class SetClock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_turn_without_work_doubles_the_rest() -> None:
    clock = SetClock()
    rests = Rests(5 * POLL_S, clock)
    lengths = []
    for _ in range(5):
        rests.begin(7, worked=False)
        began = clock()
        while 7 in rests.resting():
            clock.now += POLL_S / 2
        lengths.append(clock() - began)
    assert lengths == [POLL_S, 2 * POLL_S, 4 * POLL_S, 5 * POLL_S, 5 * POLL_S]


def test_a_short_turn_with_work_makes_the_rest_short_again() -> None:
    clock = SetClock()
    rests = Rests(30.0, clock)
    for worked in (False, False, False, True):
        rests.begin(7, worked=worked)
    assert rests.has_short()
    clock.now += POLL_S
    assert rests.resting() == []


def test_a_batch_that_could_not_be_run_twice_does_not_keep_the_worker() -> None:
    clock = SetClock()
    rests = Rests(30.0, clock)
    rests.begin(7, worked=False)
    assert rests.has_short()
    clock.now += POLL_S
    rests.begin(7, worked=False)
    assert rests.resting() == [7]
    assert not rests.has_short()
