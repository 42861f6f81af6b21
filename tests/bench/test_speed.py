import numpy as np
import pytest
from stand_ins import Broken, Fade, Learned

from midframe.bench import speed
from midframe.bench.speed import Cost, make_pair, measure_costs, parse_sizes
from midframe.errors import UsageError


@pytest.fixture
def small(monkeypatch):
    """Counts and 8× against 2× at 64×48, memory without a process."""
    monkeypatch.setattr(speed, "COUNTED", (64, 48))
    noise = np.random.default_rng(0)
    monkeypatch.setattr(
        speed, "make_pair", lambda width, height: noise.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    )
    calls = []

    def measured(call, *arguments, device):
        calls.append(arguments)
        return type("Memory", (), {"added": 123})

    monkeypatch.setattr(speed, "measure_memory", measured)
    return calls


def test_costs_are_filled_in(small):
    costs = [Cost("a", "", "cpu", "here"), Cost("b", "x", "cpu", "here")]
    told = []
    failures = measure_costs(
        {"a": Fade(), "b": Learned(4)}, costs, sizes=((32, 24), (64, 48)), runs=2,
        on_progress=lambda *at: told.append(at),
    )  # fmt: skip
    assert failures == {}
    for cost in costs:
        assert set(cost.seconds) == {"32x24", "64x48"} and min(cost.seconds.values()) > 0
        assert cost.ratio > 0 and cost.memory == 123 and cost.runs == 2
    assert (costs[0].parameters, costs[0].macs) == (0, None)
    assert (costs[1].parameters, costs[1].macs) == (4 * 3 * 9, 64 * 48 * 4 * 3 * 9)
    assert small == [("a", 64, 48, "cpu"), ("b", 64, 48, "cpu")]
    assert told[0] == (1, 7) and told[-1] == (7, 7)


def test_runs_are_interleaved(small):
    order = []

    class Told(Fade):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def prepare(self, frames, generator=None):
            order.append(self.name)
            return super().prepare(frames)

    measure_costs(
        {"a": Told("a"), "b": Told("b")},
        [Cost("a", "", "cpu", ""), Cost("b", "", "cpu", "")],
        sizes=((32, 24),),
        runs=2,
    )
    assert order[:6] == ["a", "b"] * 3


def test_a_model_that_fails_is_told_and_left_out(small):
    costs = [Cost("bad", "", "cpu", ""), Cost("good", "", "cpu", "")]
    failures = measure_costs({"bad": Broken(), "good": Fade()}, costs, sizes=((32, 24),), runs=1)
    assert list(failures) == ["bad"] and costs[0].seconds == {} and costs[1].memory == 123


def test_the_pair_is_the_same_for_the_same_size():
    one, other = make_pair(48, 32), make_pair(48, 32)
    assert one[0].shape == (32, 48, 3) and one[0].dtype == np.uint8
    assert np.array_equal(one, other) and not np.array_equal(one[0], one[1])


def test_memory_is_measured_in_a_process_of_its_own():
    cost = Cost("blend/tiny", "", "cpu", "")
    assert measure_costs({"blend/tiny": Fade()}, [cost], sizes=((32, 24),), runs=1) == {}
    assert 10e6 < cost.memory < 500e6


@pytest.mark.parametrize("text", ["", "448", "448x", "axb", "8x8", "448x256,"])
def test_sizes_that_cannot_be_meant_are_refused(text):
    with pytest.raises(UsageError, match="--sizes"):
        parse_sizes(text)


def test_sizes_are_width_by_height():
    assert parse_sizes("448x256, 1280x720") == ((448, 256), (1280, 720))
    assert parse_sizes("none") == ()
