import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from midframe.errors import ModelError, UsageError
from midframe.metrics import cost
from midframe.metrics.cost import count_operations, count_parameters, measure_memory, measure_seconds


def test_a_convolution_costs_two_operations_for_each_product():
    layer = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    operations = count_operations(lambda: layer(torch.zeros(2, 3, 16, 20)))
    assert operations.macs == 2 * 8 * 10 * (8 * 3 * 9)  # batch, output size, kernel; the bias is an addition
    assert operations.flops == 2 * operations.macs
    assert operations.by_operator == {"aten.convolution": operations.flops}


def test_a_transposed_convolution_costs_what_it_multiplies():
    # Each input pixel meets the whole kernel once: counted at its output's resolution it would be four times as much.
    layer = nn.ConvTranspose2d(6, 4, 4, 2, 1)
    assert count_operations(lambda: layer(torch.zeros(1, 6, 8, 8))).macs == 8 * 8 * 6 * 4 * 16


def test_counting_needs_no_memory_on_the_meta_device():
    with torch.device("meta"):
        layer = nn.Conv2d(64, 64, 3, padding=1)
        frame = torch.zeros(1, 64, 2160, 4096)
    assert count_operations(lambda: layer(frame)).macs == 2160 * 4096 * 64 * 64 * 9


def test_elementwise_work_is_not_counted():
    assert count_operations(lambda: torch.ones(100).exp().sum()).flops == 0


def test_parameters_are_counted_once():
    shared = nn.Linear(3, 4, bias=False)
    model = nn.Sequential(shared, nn.BatchNorm1d(4), shared)
    assert count_parameters(model) == 12 + 8
    model[1].weight.requires_grad_(False)
    assert count_parameters(model, trainable=True) == 12 + 4
    assert count_parameters(object()) == 0


def test_seconds_are_those_of_the_runs_after_the_warm_up(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 13.0, 20.0, 22.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    calls = []
    seconds = measure_seconds(lambda: calls.append(1), runs=3, warm_up=2)
    assert (seconds.fastest, seconds.median, seconds.slowest, seconds.runs) == (1, 2, 3, 3)
    assert len(calls) == 5


def test_timing_nothing_is_refused():
    with pytest.raises(UsageError, match="1 run or more"):
        measure_seconds(lambda: None, runs=0)


linux = pytest.mark.skipif(not cost.STATUS.exists(), reason="peak memory on a CPU is read from /proc")


@linux
def test_memory_that_was_given_back_is_seen():
    memory = measure_memory(np.full, 25_000_000, 1.0)  # 200 MB, dropped at once
    assert 199e6 < memory.added < 240e6  # the kernel counts resident pages in batches
    assert memory.device == "cpu" and memory.before > 10e6


@linux
def test_a_call_that_fails_in_its_process_is_one_clear_error(capfd):
    with pytest.raises(ModelError, match="exit code 1"):
        measure_memory(np.full, "no number", 1.0)
    assert "Traceback" in capfd.readouterr().err


def test_memory_elsewhere_is_refused(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="not on meta"):
        measure_memory(np.full, 10, 1.0, device="meta")
    monkeypatch.setattr(cost, "STATUS", tmp_path / "none")
    with pytest.raises(UsageError, match="measure on Linux"):
        measure_memory(np.full, 10, 1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_on_the_gpu_is_what_was_allocated():
    memory = measure_memory(lambda: torch.ones(25_000_000, device="cuda").sum().item(), device="cuda")
    assert 100e6 <= memory.added < 110e6 and memory.device.startswith("cuda")


def test_importing_metrics_costs_no_media_library():
    code = "import midframe.metrics.cost, sys; sys.exit('av' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
