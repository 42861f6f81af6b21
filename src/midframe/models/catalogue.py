"""The one list of systems. Imports no torch: `midframe models` answers at once.

A system is one file, one row here and one test. A variant is keyword arguments of its class, never a second file.
Other packages add rows through the entry-point group `midframe.systems`: each entry point names a `System` or a
sequence of them, in a module that need not import torch either.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Literal

from midframe.errors import ModelError, UsageError
from midframe.weights import card

ENTRY_POINTS = "midframe.systems"
LEAST_EFFORT = 0.1

Task = Literal["interpolate", "predict", "superresolve", "propagate", "flow", "generate", "classify", "fit"]
# What systems do that are no Synthesizer, by their task.
DOES: Mapping[Task, str] = MappingProxyType(
    {
        "interpolate": "makes frames between frames, not after the last one",
        "predict": "makes frames after the last one, not between frames",
        "superresolve": "makes frames of another size (`midframe upscale`)",
        "flow": "estimates flow and makes no frames",
        "propagate": "carries labels along a film (`midframe track`) and makes no frames",
        "generate": "makes pictures of its own (`midframe sample`), no frames of a film",
        "classify": "says what a picture shows (`midframe eval`) and makes none",
        "fit": "is fitted to one clip (`midframe fit`, `midframe walk`) and makes no frames of another",
    }
)
WeightsAre = Literal["none-needed", "bundled", "repo", "pull", "none"]


@dataclass(frozen=True, slots=True)
class System:
    """One published system: where its class is, what it was published as, in which variants it comes.

    target    "module:Class"; the class takes a variant's keyword arguments
    variants  name → keyword arguments; the first one is the default, "tiny" is what tests use
    params    trained parameters of the default variant; 0 for a classical method
    weights   where trained weights come from: "none-needed" (nothing to train), "bundled" (in the wheel), "repo"
              (the repository's weights folder), "pull" (`midframe weights pull`), "none" (train it yourself)
    cards     names of the weights cards, e.g. "rife-4.26/released"; a card says which variants it fits
    times     "any", "1/2" (of a system that enlarges whole times, too) or "whole" (1, 2 … frames ahead): those it
              renders
    licence   SPDX name of the code; that of weights is on their card
    page      name of the page in the documentation that it shares with others; None: its own name
    parts     keyword argument → name of the system that `load` builds for it, e.g. {"flow": "pwcnet"}
    unit      what its loss is counted in, for systems that are measured by it: "nats a picture"
    effort    whether the class takes `effort`, the share of its work that it is to do
    """

    name: str
    target: str
    task: Task
    year: int | None
    paper: str
    variants: Mapping[str, Mapping[str, Any]]
    params: int = 0
    weights: WeightsAre = "none-needed"
    cards: tuple[str, ...] = ()
    times: Literal["any", "1/2", "whole"] = "any"
    licence: str = "Apache-2.0"
    page: str | None = None
    parts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unit: str = ""
    effort: bool = False

    @property
    def needs_weights(self) -> bool:
        return self.weights != "none-needed"

    @property
    def default(self) -> str:
        """The variant meant when only the system is named."""
        return next(iter(self.variants))

    @property
    def untrained(self) -> tuple[str, ...]:
        """Variants that no weights fit yet; "tiny", which is for tests, aside."""
        if not self.needs_weights:
            return ()
        fitted = {variant for name in self.cards for variant in card(name).variants}
        return tuple(variant for variant in self.variants if variant not in fitted and variant != "tiny")

    def row(self) -> dict[str, Any]:
        """What `midframe models --json` prints, as plain values."""
        return {
            "name": self.name,
            "task": self.task,
            "paper": self.paper,
            "year": self.year,
            "params": self.params,
            "weights": self.weights,
            "variants": list(self.variants),
            "untrained": list(self.untrained),
            "times": self.times,
            "licence": self.licence,
        }


# The small form of videoinr, from which its variants differ.
VIDEOINR_S: Mapping[str, Any] = MappingProxyType(
    {
        "width": 16,
        "groups": 2,
        "front": 2,
        "back": 4,
        "align": False,
        "hidden": (32, 32, 64),
        "mix": (32, 32, 64, 64),
        "gain": 4.0,
        "residual": True,
        "relative": True,
    }
)

SYSTEMS: tuple[System, ...] = (
    System(
        "midnet",
        "midframe.models.midnet:Midnet",
        task="interpolate",
        year=None,
        paper="none: our own, motion by the flow blocks of RIFE 4.26 found once for each pair and carried to every t",
        variants={
            "base": {},
            "fast": {"longest": 480},
            "best": {"longest": 1920},
            "clear": {},  # other weights, for looks
            "distance": {"index": "distance"},  # to be trained: told how far things have gone, not when
            "tiny": {"widths": (8, 8, 8, 8), "head": 4, "merge": (4, 8, 8)},
        },
        params=5_603_476,
        weights="bundled",
        cards=("midnet/clips", "midnet/clear"),
    ),
    System(
        "dis",
        "midframe.models.dis:DIS",
        task="interpolate",
        year=2016,
        paper="Fast Optical Flow using Dense Inverse Search, ECCV 2016, arXiv 1603.03590; merge of our own",
        variants={
            "balanced": {"preset": "balanced"},  # on real clips as good as "best", in a third of its time
            "best": {"preset": "best"},
            "fast": {"preset": "fast"},
            "tiny": {"preset": "tiny"},
        },
    ),
    System(
        "phase",
        "midframe.models.phase:Phase",
        task="interpolate",
        year=2015,
        paper="Phase-Based Frame Interpolation for Video, CVPR 2015",
        variants={"base": {}, "tiny": {"levels": 3}},
    ),
    System(
        "bicubic",
        "midframe.models.bicubic:Bicubic",
        task="superresolve",
        year=None,
        paper="none: a cubic kernel in space, the cross-fade in time, the baseline of super-resolution",
        variants={"base": {}, "lanczos": {"kernel": "lanczos"}, "tiny": {}},
    ),
    System(
        "blend",
        "midframe.models.blend:Blend",
        task="interpolate",
        year=None,
        paper="none: a cross-fade, the baseline",
        variants={"base": {}, "tiny": {}},
    ),
    System(
        "rife-4.26",
        "midframe.models.rife_practical:RIFE426",
        task="interpolate",
        year=2024,
        paper="RIFE 4.26, the authors' release of September 2024; method: ECCV 2022, arXiv 2011.06294",
        variants={
            "base": {},
            "half": {"flow_scale": 0.5},  # for large motion and 4K
            "tiny": {"widths": (8, 8, 8, 8, 8), "head": 4},
        },
        params=5_664_776,
        weights="pull",
        page="rife",
        cards=("rife-4.26/released",),
    ),
    System(
        "rife-4.0",
        "midframe.models.rife:RIFE40",
        task="interpolate",
        year=2021,
        paper="RIFE 4.0, the authors' release of December 2021; method: ECCV 2022, arXiv 2011.06294",
        variants={
            "base": {},
            "half": {"flow_scale": 0.5},
            "fast": {"refine": False},  # the release's own default
            "tiny": {"widths": (8, 8, 8, 8), "context": 2},
        },
        params=8_412_855,
        weights="pull",
        page="rife",
        cards=("rife-4.0/released",),
    ),
    System(
        "rife-3.8",
        "midframe.models.rife_hd:RIFE36",
        task="interpolate",
        year=2021,
        paper="RIFE 3.8, the authors' release of June 2021; method: ECCV 2022, arXiv 2011.06294",
        variants={
            "base": {"ensemble": False, "adaptive": True},
            "tiny": {"ensemble": False, "adaptive": True, "width": 8},
        },
        params=2_277_600,
        weights="pull",
        page="rife",
        cards=("rife-3.8/released",),
        times="1/2",
    ),
    System(
        "rife-3.6",
        "midframe.models.rife_hd:RIFE36",
        task="interpolate",
        year=2021,
        paper="RIFE 3.6, the authors' release of June 2021; method: ECCV 2022, arXiv 2011.06294",
        variants={"base": {}, "tiny": {"width": 8}},
        params=2_277_600,
        weights="pull",
        page="rife",
        cards=("rife-3.6/released",),
        times="1/2",
    ),
    System(
        "rife-3.5",
        "midframe.models.rife_hd:RIFE36",
        task="interpolate",
        year=2021,
        paper="RIFE 3.5, the authors' release of June 2021; method: ECCV 2022, arXiv 2011.06294",
        variants={"base": {"head": "direct"}, "tiny": {"head": "direct", "width": 8}},
        params=1_899_060,
        weights="pull",
        page="rife",
        cards=("rife-3.5/released",),
        times="1/2",
    ),
    System(
        "rife-3.1",
        "midframe.models.rife_hd:RIFE31",
        task="interpolate",
        year=2021,
        paper="RIFE 3.1, the authors' release of May 2021; method: ECCV 2022, arXiv 2011.06294",
        variants={"base": {}, "tiny": {"width": 8, "context": 2}},
        params=17_579_312,
        weights="pull",
        page="rife",
        cards=("rife-3.1/released",),
        times="1/2",
    ),
    System(
        "rife-paper",
        "midframe.models.rife:RIFE",
        task="interpolate",
        year=2022,
        paper="Real-Time Intermediate Flow Estimation for Video Frame Interpolation, ECCV 2022, arXiv 2011.06294",
        variants={
            "base": {},
            "half": {"flow_scale": 0.5},
            "regions": {"regions": True},
            "tiny": {"widths": (8, 8, 8), "context": 2},
        },
        params=10_708_215,
        weights="none",
        page="rife",
        times="1/2",
    ),
    System(
        "rife-paper-m",
        "midframe.models.rife:RIFE",
        task="interpolate",
        year=2022,
        paper="Real-Time Intermediate Flow Estimation (RIFE_m, any time), ECCV 2022, arXiv 2011.06294",
        variants={
            "base": {"any_time": True},
            "half": {"any_time": True, "flow_scale": 0.5},
            "distance": {"any_time": True, "index": "distance"},
            "reference": {"any_time": True, "index": "reference"},
            "regions": {"any_time": True, "regions": True},
            "tiny": {"any_time": True, "widths": (8, 8, 8), "context": 2},
        },
        params=10_710_780,
        weights="none",
        page="rife",
    ),
    System(
        "ifrnet-s",
        "midframe.models.ifrnet:IFRNet",
        task="interpolate",
        year=2022,
        paper="Intermediate Feature Refine Network for Efficient Frame Interpolation, CVPR 2022, arXiv 2205.14620",
        variants={
            "base": {"widths": (24, 36, 54, 72), "side": 24},
            "half": {"widths": (24, 36, 54, 72), "side": 24, "scale": 0.5},
            "distance": {"widths": (24, 36, 54, 72), "side": 24, "index": "distance"},
            "reference": {"widths": (24, 36, 54, 72), "side": 24, "index": "reference"},
            "regions": {"widths": (24, 36, 54, 72), "side": 24, "regions": True},
            "tiny": {"widths": (8, 8, 12, 16), "side": 8},
        },
        params=2_803_610,
        weights="repo",
        page="ifrnet",
        cards=("ifrnet-s/clips",),
    ),
    System(
        "ifrnet-m",
        "midframe.models.ifrnet:IFRNet",
        task="interpolate",
        year=2022,
        paper="Intermediate Feature Refine Network for Efficient Frame Interpolation, CVPR 2022, arXiv 2205.14620",
        variants={
            "base": {},
            "half": {"scale": 0.5},
            "tiny": {"widths": (8, 8, 12, 16), "side": 8},
        },
        params=4_959_692,
        weights="none",
        page="ifrnet",
    ),
    System(
        "ifrnet-l",
        "midframe.models.ifrnet:IFRNet",
        task="interpolate",
        year=2022,
        paper="Intermediate Feature Refine Network for Efficient Frame Interpolation, CVPR 2022, arXiv 2205.14620",
        variants={
            "base": {"widths": (64, 96, 144, 192), "side": 64, "first_kernel": 7},
            "half": {"widths": (64, 96, 144, 192), "side": 64, "first_kernel": 7, "scale": 0.5},
            "tiny": {"widths": (8, 8, 12, 16), "side": 8},
        },
        params=19_699_460,
        weights="none",
        page="ifrnet",
    ),
    System(
        "sepconv",
        "midframe.models.sepconv:SepConv",
        task="interpolate",
        year=2017,
        paper="Video Frame Interpolation via Adaptive Separable Convolution, ICCV 2017, arXiv 1708.01692",
        variants={"base": {}, "tiny": {"widths": (4, 8, 8, 8, 16), "taps": 5}},
        params=21_675_452,
        weights="none",
        page="sepconv",
        times="1/2",
    ),
    System(
        "sepconv-s",
        "midframe.models.sepconv:SepConv",
        task="interpolate",
        year=2017,
        paper="Adaptive Separable Convolution, ICCV 2017, arXiv 1708.01692; smaller, and divided: ours",
        variants={
            "base": {"widths": (16, 32, 64, 128, 256), "taps": 39, "divide": True},
            "tiny": {"widths": (4, 8, 8, 8, 16), "taps": 5, "divide": True},
        },
        params=5_468_236,
        weights="repo",
        cards=("sepconv-s/clips",),
        page="sepconv",
        times="1/2",
    ),
    System(
        "dain",
        "midframe.models.dain:DAIN",
        task="interpolate",
        year=2019,
        paper="Depth-Aware Video Frame Interpolation, CVPR 2019, arXiv 1904.00830",
        variants={
            "base": {},
            "tiny": {
                "flow": "dis",
                "depth_width": 8,
                "depth_norm": False,
                "kernel_widths": (4, 8, 8),
                "context_width": 2,
                "rectify_width": 4,
                "rectify_kernel": 3,
            },
        },
        params=24_031_656,
        weights="none",
    ),
    System(
        "dain-s",
        "midframe.models.dain:DAIN",
        task="interpolate",
        year=2019,
        paper="Depth-Aware Video Frame Interpolation (ours, small, flow by dense inverse search), arXiv 1904.00830",
        variants={
            "base": {
                "flow": "dis",
                "depth_width": 16,
                "depth_norm": False,
                "kernel_widths": (8, 16, 32, 64, 128, 256),
                "context_width": 8,
                "rectify_width": 24,
                "rectify_kernel": 3,
            },
            "tiny": {
                "flow": "dis",
                "depth_width": 8,
                "depth_norm": False,
                "kernel_widths": (4, 8, 8),
                "context_width": 2,
                "rectify_width": 4,
                "rectify_kernel": 3,
            },
        },
        params=1_524_104,
        weights="repo",
        cards=("dain-s/clips",),
        page="dain",
    ),
    System(
        "raft",
        "midframe.nn.raft:RAFT",
        task="flow",
        year=2020,
        paper="RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020, arXiv 2003.12039",
        variants={
            "base": {},
            "fast": {"iterations": 6},
            "best": {"iterations": 24},
            "tiny": {"shrink": 8, "iterations": 3},
        },
        params=5_257_536,
        weights="none",
    ),
    System(
        "raft-s",
        "midframe.nn.raft:RAFT",
        task="flow",
        year=2020,
        paper="RAFT: Recurrent All-Pairs Field Transforms for Optical Flow (small), ECCV 2020, arXiv 2003.12039",
        variants={
            "base": {"small": True},
            "fast": {"small": True, "iterations": 6},
            "best": {"small": True, "iterations": 24},
            "tiny": {"small": True, "shrink": 4, "iterations": 3},
        },
        params=990_162,
        weights="repo",
        cards=("raft-s/synthetic",),
        page="raft",
    ),
    System(
        "phasenet",
        "midframe.models.phasenet:PhaseNet",
        task="interpolate",
        year=2018,
        paper="PhaseNet for Video Frame Interpolation, CVPR 2018, arXiv 1804.00884",
        variants={"base": {}, "detail": {"high": 0.5}, "tiny": {"width": 8}},
        params=466_745,
        weights="none",
        times="1/2",
    ),
    System(
        "phasenet-s",
        "midframe.models.phasenet:PhaseNet",
        task="interpolate",
        year=2018,
        paper="PhaseNet for Video Frame Interpolation with 24 maps instead of 64, CVPR 2018, arXiv 1804.00884",
        variants={
            "base": {"width": 24, "phase": "offset", "grow": 200},
            "detail": {"width": 24, "phase": "offset", "grow": 200, "high": 0.5},
            "tiny": {"width": 8, "phase": "offset"},
        },
        params=83_865,
        weights="repo",
        cards=("phasenet-s/clips",),
        page="phasenet",
        times="1/2",
    ),
    System(
        "qvi",
        "midframe.models.qvi:QVI",
        task="interpolate",
        year=2019,
        paper="Quadratic Video Interpolation, NeurIPS 2019, arXiv 1911.00627",
        variants={
            "base": {},
            "linear": {"linear": True},  # what acceleration is worth
            "joint": {"frozen": False},  # the flow network learns, too
            "tiny": {"widths": (4, 8, 8, 8, 8, 8), "flow": "dis"},
        },
        params=29_226_699,
        weights="none",
    ),
    System(
        "qvi-s",
        "midframe.models.qvi:QVI",
        task="interpolate",
        year=2019,
        paper="Quadratic Video Interpolation (flow by dense inverse search), NeurIPS 2019, arXiv 1911.00627",
        variants={
            "base": {"widths": (12, 24, 48, 96, 128, 128), "flow": "dis"},
            "linear": {"widths": (12, 24, 48, 96, 128, 128), "flow": "dis", "linear": True},
            "tiny": {"widths": (4, 8, 8, 8, 8, 8), "flow": "dis"},
        },
        params=1_585_089,
        weights="repo",
        cards=("qvi-s/clips",),
        page="qvi",
    ),
    System(
        "cain",
        "midframe.models.cain:CAIN",
        task="interpolate",
        year=2020,
        paper="Channel Attention Is All You Need for Video Frame Interpolation, AAAI 2020",
        variants={"base": {}, "tiny": {"width": 16, "groups": 2, "blocks": 2, "reduction": 4}},
        params=42_780_432,
        weights="none",
        times="1/2",
    ),
    System(
        "cain-s",
        "midframe.models.cain:CAIN",
        task="interpolate",
        year=2020,
        paper="Channel Attention Is All You Need for Video Frame Interpolation, AAAI 2020; smaller, and adds the blend",
        variants={
            "base": {"fold": 4, "width": 64, "groups": 3, "blocks": 3, "residual": True},
            "tiny": {"fold": 4, "width": 16, "groups": 2, "blocks": 2, "reduction": 4, "residual": True},
        },
        params=863_764,
        weights="none",
        page="cain",
        times="1/2",
    ),
    System(
        "amt-s",
        "midframe.models.amt:AMT",
        task="interpolate",
        year=2023,
        paper="AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation, CVPR 2023, arXiv 2304.09790",
        variants={
            "base": {},
            "distance": {"index": "distance"},
            "reference": {"index": "reference"},
            "half": {"scale": 0.5},
            "tiny": {
                "widths": (8, 8, 8, 12),
                "side": 8,
                "candidates": 2,
                "match_widths": (8, 8, 8),
                "match_features": 8,
                "hidden": 12,
                "of_flow": 4,
                "of_matches": (8,),
                "fused": 8,
            },
        },
        params=2_990_543,
        weights="repo",
        cards=("amt-s/clips",),
        page="amt",
    ),
    System(
        "amt-l",
        "midframe.models.amt:AMT",
        task="interpolate",
        year=2023,
        paper="AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation, CVPR 2023, arXiv 2304.09790",
        variants={
            "base": {
                "widths": (48, 64, 72, 128),
                "side": 48,
                "first_kernel": 7,
                "candidates": 5,
                "match_widths": (64, 72, 128),
                "match_features": 128,
                "bottleneck": False,
                "hidden": 128,
                "of_flow": 48,
                "of_matches": (256, 160),
                "fused": 124,
                "comb_kernel": 7,
            },
            "half": {
                "widths": (48, 64, 72, 128),
                "side": 48,
                "first_kernel": 7,
                "candidates": 5,
                "match_widths": (64, 72, 128),
                "match_features": 128,
                "bottleneck": False,
                "hidden": 128,
                "of_flow": 48,
                "of_matches": (256, 160),
                "fused": 124,
                "comb_kernel": 7,
                "scale": 0.5,
            },
            "tiny": {
                "widths": (8, 8, 8, 12),
                "side": 8,
                "candidates": 2,
                "match_widths": (8, 8, 8),
                "match_features": 8,
                "hidden": 12,
                "of_flow": 4,
                "of_matches": (8, 8),
                "fused": 8,
                "bottleneck": False,
                "comb_kernel": 7,
            },
        },
        params=12_935_367,
        weights="none",
        page="amt",
    ),
    System(
        "amt-g",
        "midframe.models.amt:AMT",
        task="interpolate",
        year=2023,
        paper="AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation, CVPR 2023, arXiv 2304.09790",
        variants={
            "base": {
                "widths": (84, 96, 112, 128),
                "side": 84,
                "first_kernel": 7,
                "candidates": 5,
                "match_widths": (64, 112, 160, 160),
                "match_features": 128,
                "bottleneck": False,
                "hidden": 192,
                "of_flow": 64,
                "of_matches": (256, 192),
                "fused": 188,
                "again": True,
                "comb_kernel": 7,
                "distillation": 0.005,
            },
            "half": {
                "widths": (84, 96, 112, 128),
                "side": 84,
                "first_kernel": 7,
                "candidates": 5,
                "match_widths": (64, 112, 160, 160),
                "match_features": 128,
                "bottleneck": False,
                "hidden": 192,
                "of_flow": 64,
                "of_matches": (256, 192),
                "fused": 188,
                "again": True,
                "comb_kernel": 7,
                "distillation": 0.005,
                "scale": 0.5,
            },
            "tiny": {
                "widths": (8, 8, 8, 12),
                "side": 8,
                "candidates": 2,
                "match_widths": (8, 8, 8, 8),
                "match_features": 8,
                "hidden": 12,
                "of_flow": 4,
                "of_matches": (8, 8),
                "fused": 8,
                "bottleneck": False,
                "comb_kernel": 7,
                "again": True,
            },
        },
        params=30_638_919,
        weights="none",
        page="amt",
    ),
    System(
        "ema-vfi",
        "midframe.models.ema_vfi:EMAVFI",
        task="interpolate",
        year=2023,
        paper="Extracting Motion and Appearance via Inter-Frame Attention, CVPR 2023, arXiv 2303.00440",
        variants={
            "base": {},
            "half": {"scale": 0.5},
            "tiny": {"width": 2, "depths": (1, 1, 1, 2, 2)},
        },
        params=65_662_359,
        weights="none",
        page="ema_vfi",
    ),
    System(
        "ema-vfi-s",
        "midframe.models.ema_vfi:EMAVFI",
        task="interpolate",
        year=2023,
        paper="Extracting Motion and Appearance via Inter-Frame Attention, CVPR 2023, arXiv 2303.00440 (small)",
        variants={
            "base": {"width": 16, "depths": (2, 2, 2, 2, 2)},
            "distance": {"width": 16, "depths": (2, 2, 2, 2, 2), "index": "distance"},
            "reference": {"width": 16, "depths": (2, 2, 2, 2, 2), "index": "reference"},
            "half": {"width": 16, "depths": (2, 2, 2, 2, 2), "scale": 0.5},
            "tiny": {"width": 2, "depths": (1, 1, 1, 2, 2)},
        },
        params=14_489_815,
        weights="none",
        page="ema_vfi",
    ),
    System(
        "ema-vfi-xs",
        "midframe.models.ema_vfi:EMAVFI",
        task="interpolate",
        year=2023,
        paper="Extracting Motion and Appearance via Inter-Frame Attention, CVPR 2023, arXiv 2303.00440; smaller: ours",
        variants={
            "base": {"width": 8, "span": 128, "depths": (2, 2, 2, 2, 2)},
            "distance": {"width": 8, "span": 128, "depths": (2, 2, 2, 2, 2), "index": "distance"},
            "reference": {"width": 8, "span": 128, "depths": (2, 2, 2, 2, 2), "index": "reference"},
            "half": {"width": 8, "span": 128, "depths": (2, 2, 2, 2, 2), "scale": 0.5},
            "tiny": {"width": 2, "depths": (1, 1, 1, 2, 2)},
        },
        params=3_642_551,
        weights="repo",
        cards=("ema-vfi-xs/clips",),
        page="ema_vfi",
    ),
    System(
        "cspa",
        "midframe.models.cspa:CSPA",
        task="interpolate",
        year=2023,
        paper="Exploring Motion Ambiguity and Alignment for Video Frame Interpolation, CVPR 2023, arXiv 2203.10291",
        variants={"base": {}, "tiny": {"width": 8, "extract": 1, "align": (1, 1, 1), "paint": 1, "groups": 4}},
        params=28_655_251,
        weights="none",
        times="1/2",
    ),
    System(
        "cspa-s",
        "midframe.models.cspa:CSPA",
        task="interpolate",
        year=2023,
        paper="Exploring Motion Ambiguity and Alignment (ours, small, begins at the blend), arXiv 2203.10291",
        variants={
            "base": {
                "width": 32,
                "extract": 1,
                "align": (1, 1, 2),
                "paint": 2,
                "groups": 4,
                "reduce": 2,
                "from_blend": True,
            },
            "tiny": {
                "width": 16,
                "extract": 1,
                "align": (1, 1, 1),
                "paint": 1,
                "groups": 4,
                "reduce": 2,
                "from_blend": True,
            },
        },
        params=711_732,
        weights="none",
        page="cspa",
        times="1/2",
    ),
    System(
        "ugsp",
        "midframe.models.ugsp:UGSP",
        task="interpolate",
        year=2023,
        paper="Uncertainty-Guided Spatial Pruning Architecture, ACM MM 2023, arXiv 2307.16555",
        variants={
            "base": {},
            "full": {"effort": 1.0},
            "fast": {"effort": 0.35},
            "distill": {"distil": True, "target": 0.365},
            "tiny": {"widths": (4, 8, 8, 8), "depths": (2, 2, 2, 2)},
        },
        params=6_764_702,
        weights="none",
        times="1/2",
        effort=True,
    ),
    System(
        "ugsp-s",
        "midframe.models.ugsp:UGSP",
        task="interpolate",
        year=2023,
        paper="Uncertainty-Guided Spatial Pruning Architecture (ours, smaller), ACM MM 2023, arXiv 2307.16555",
        variants={
            "base": {
                "widths": (20, 32, 48, 64),
                "depths": (3, 3, 2, 2),
                "straight": True,
                "guide": 0.05,
                "distil": True,
                "beta": 0.0,  # flow is learnt from labels before pictures tell of it
            },
            "full": {"widths": (20, 32, 48, 64), "depths": (3, 3, 2, 2), "effort": 1.0},
            "fast": {"widths": (20, 32, 48, 64), "depths": (3, 3, 2, 2), "effort": 0.35},
            "tiny": {"widths": (4, 8, 8, 8), "depths": (2, 2, 2, 2), "straight": True, "distil": True},
        },
        params=1_467_078,
        weights="none",
        page="ugsp",
        times="1/2",
        effort=True,
    ),
    System(
        "vfit",
        "midframe.models.vfit:VFIT",
        task="interpolate",
        year=2022,
        paper="Video Frame Interpolation Transformer (VFIT-B), CVPR 2022, arXiv 2111.13817",
        variants={
            "base": {},
            "tiny": {"widths": (4, 8, 8, 8, 8), "depths": (1, 2, 1, 1), "heads": (2, 2, 2, 2), "features": 8},
        },
        params=29_082_065,
        weights="none",
        times="1/2",
    ),
    System(
        "vfit-s",
        "midframe.models.vfit:VFIT",
        task="interpolate",
        year=2022,
        paper="Video Frame Interpolation Transformer (VFIT-S), CVPR 2022, arXiv 2111.13817",
        variants={
            "base": {"widths": (16, 32, 64, 128, 192)},
            "tiny": {"widths": (4, 8, 8, 8, 8), "depths": (1, 2, 1, 1), "heads": (2, 2, 2, 2), "features": 8},
        },
        params=7_537_489,
        weights="none",
        page="vfit",
        times="1/2",
    ),
    System(
        "vfit-xs",
        "midframe.models.vfit:VFIT",
        task="interpolate",
        year=2022,
        paper="Video Frame Interpolation Transformer, CVPR 2022, arXiv 2111.13817; a size of ours that a CPU can train",
        variants={
            "base": {
                "widths": (8, 16, 32, 64, 96),
                "depths": (1, 1, 2, 1),
                "heads": (2, 2, 4, 8),
                "features": 16,
                "kernel": 3,
            },
            "tiny": {
                "widths": (4, 8, 8, 8, 8),
                "depths": (1, 2, 1, 1),
                "heads": (2, 2, 2, 2),
                "features": 8,
                "kernel": 3,
            },
        },
        params=1_065_345,
        weights="none",
        page="vfit",
        times="1/2",
    ),
    System(
        "dbvi",
        "midframe.models.dbvi:DBVI",
        task="interpolate",
        year=2022,
        paper="Deep Bayesian Video Frame Interpolation, ECCV 2022",
        variants={
            "base": {},
            "2x": {"alpha": (1.0,) * 6},
            "folded": {"folded": True},  # other weights: `fold` makes them of those of "base"
            "tiny": {"alpha": (0.5, 1.0), "widths": (4, 4, 32), "memory": 8, "folded": True, "flow": "dis"},
        },
        params=15_186_048,
        weights="none",
    ),
    System(
        "dbvi-s",
        "midframe.models.dbvi:DBVI",
        task="interpolate",
        year=2022,
        paper="Deep Bayesian Video Frame Interpolation, ECCV 2022; ours, small, flow by dense inverse search",
        variants={
            "base": {
                "alpha": (0.2, 0.4, 1.0),
                "widths": (12, 32, 64),
                "memory": 8,
                "blocks": 1,
                "folded": True,
                "greedy": True,
                "margin": 8,
                "flow": "dis",
            },
            "tiny": {
                "alpha": (0.5, 1.0),
                "widths": (4, 4, 32),
                "memory": 4,
                "blocks": 1,
                "folded": True,
                "greedy": True,
                "margin": 8,
                "flow": "dis",
            },
        },
        params=368_376,
        weights="repo",
        cards=("dbvi-s/clips",),
        page="dbvi",
    ),
    System(
        "extrapolate",
        "midframe.models.extrapolate:Extrapolate",
        task="predict",
        year=None,
        paper="none: the baseline of prediction, all goes on as it went; flow by dense inverse search",
        variants={"base": {}, "tiny": {"horizon": 4}},
        times="whole",
    ),
    System(
        "visual-dynamics",
        "midframe.models.visual_dynamics:VisualDynamics",
        task="predict",
        year=2016,
        paper="Visual Dynamics: Probabilistic Future Frame Synthesis, NIPS 2016, arXiv 1607.02586",
        variants={
            "base": {},
            "normal": {"chance": "normal"},  # z of N(0, 1), not of the pairs that were seen
            "deterministic": {"model": "deterministic"},
            "prior": {"model": "prior"},
            "tiny": {
                "size": 32,
                "features": 8,
                "scales": (0.5, 1.0, 2.0),
                "image": (12, 12, 12),
                "motion": (8, 8, 12, 12, 24, 24),
                "decode": 24,
                "layers": 2,
                "bank": 16,
            },
        },
        params=8_091_395,
        weights="none",
        times="whole",
        page="visual_dynamics",
    ),
    System(
        "visual-dynamics-s",
        "midframe.models.visual_dynamics:VisualDynamics",
        task="predict",
        year=2016,
        paper="Visual Dynamics, NIPS 2016, arXiv 1607.02586; smaller, frames of 64: ours",
        variants={
            "base": {
                "size": 64,
                "features": 16,
                "image": (24, 24, 24),
                "motion": (32, 32, 48, 48, 96, 96),
                "decode": 48,
                "beta": 4e-3,
            },
            "normal": {
                "size": 64,
                "features": 16,
                "image": (24, 24, 24),
                "motion": (32, 32, 48, 48, 96, 96),
                "decode": 48,
                "beta": 4e-3,
                "chance": "normal",
            },
            "deterministic": {
                "size": 64,
                "features": 16,
                "image": (24, 24, 24),
                "motion": (32, 32, 48, 48, 96, 96),
                "decode": 48,
                "beta": 4e-3,
                "model": "deterministic",
            },
            "prior": {
                "size": 64,
                "features": 16,
                "image": (24, 24, 24),
                "motion": (32, 32, 48, 48, 96, 96),
                "decode": 48,
                "beta": 4e-3,
                "model": "prior",
            },
            "tiny": {
                "size": 32,
                "features": 8,
                "scales": (0.5, 1.0, 2.0),
                "image": (12, 12, 12),
                "motion": (8, 8, 12, 12, 24, 24),
                "decode": 24,
                "layers": 2,
                "bank": 16,
            },
        },
        params=1_390_995,
        weights="repo",
        cards=("visual-dynamics-s/shapes",),
        times="whole",
        page="visual_dynamics",
    ),
    System(
        "vpn",
        "midframe.models.vpn:VPN",
        task="predict",
        year=2017,
        paper="Video Pixel Networks, ICML 2017, arXiv 1610.00527",
        variants={
            "base": {},
            "plain": {"dilations": (1, 1, 1, 1, 1, 1, 1, 1)},
            "baseline": {"masked": False},
            "mean": {"draw": "mean"},
            "tiny": {"width": 8, "dilations": (1, 2), "blocks": 2, "inputs": 3, "horizon": 3},
        },
        params=29_651_968,
        weights="none",
        times="whole",
        page="vpn",
        unit="nats a frame",
    ),
    System(
        "vpn-s",
        "midframe.models.vpn:VPN",
        task="predict",
        year=2017,
        paper="Video Pixel Networks, ICML 2017, arXiv 1610.00527; smaller: ours",
        variants={
            "base": {"width": 12, "dilations": (1, 2, 4), "blocks": 3},
            "plain": {"width": 12, "dilations": (1, 1, 1), "blocks": 3},
            "baseline": {"width": 12, "dilations": (1, 2, 4), "blocks": 3, "masked": False},
            "mean": {"width": 12, "dilations": (1, 2, 4), "blocks": 3, "draw": "mean"},
            "tiny": {"width": 8, "dilations": (1, 2), "blocks": 2, "inputs": 3, "horizon": 3},
        },
        params=108_072,
        weights="none",
        times="whole",
        page="vpn",
        unit="nats a frame",
    ),
    System(
        "convlstm",
        "midframe.models.convlstm:ConvLSTM",
        task="predict",
        year=2015,
        paper="Convolutional LSTM Network, NeurIPS 2015, arXiv 1506.04214; as in OpenSTL, NeurIPS 2023",
        variants={
            "base": {},
            "large": {"widths": (192, 192, 192, 192)},
            "tiny": {"widths": (8, 8), "kernel": 3, "inputs": 3, "horizon": 4, "sampling": 20},
        },
        params=11_675_648,
        weights="none",
        times="whole",
    ),
    System(
        "convlstm-s",
        "midframe.models.convlstm:ConvLSTM",
        task="predict",
        year=2015,
        paper="Convolutional LSTM Network, NeurIPS 2015, arXiv 1506.04214; a size of ours that a CPU can train",
        variants={
            "base": {"widths": (48, 48), "kernel": 3, "sampling": 1500},
            "tiny": {"widths": (8, 8), "kernel": 3, "inputs": 3, "horizon": 4, "sampling": 20},
        },
        params=277_248,
        weights="none",
        page="convlstm",
        times="whole",
    ),
    System(
        "simvp",
        "midframe.models.simvp:SimVP",
        task="predict",
        year=2022,
        paper="SimVP: Simpler yet Better Video Prediction, CVPR 2022, arXiv 2206.05099; with gSTA, arXiv 2211.12509",
        variants={
            "base": {},
            "convmixer": {"kind": "convmixer"},
            "colour": {"channels": 3, "frames": 4},  # for real clips
            "tiny": {"frames": 3, "width": 4, "hidden": 16, "blocks": 2},
        },
        params=46_769_665,
        weights="none",
        times="whole",
    ),
    System(
        "simvp-s",
        "midframe.models.simvp:SimVP",
        task="predict",
        year=2022,
        paper="SimVP, CVPR 2022, arXiv 2206.05099; with gSTA, arXiv 2211.12509; a size of ours that a CPU can train",
        variants={
            "base": {"width": 16, "hidden": 128, "blocks": 4},
            "convmixer": {"width": 16, "hidden": 128, "blocks": 4, "kind": "convmixer"},
            "colour": {"channels": 3, "frames": 4, "width": 16, "hidden": 128, "blocks": 4},  # for real clips
            "tiny": {"channels": 3, "frames": 3, "width": 4, "hidden": 16, "blocks": 2, "kind": "convmixer"},
        },
        params=1_662_081,
        weights="none",
        page="simvp",
        times="whole",
    ),
    System(
        "st-autoencoder",
        "midframe.models.st_autoencoder:STAutoencoder",
        task="predict",
        year=2016,
        paper="Spatio-temporal video autoencoder with differentiable memory, ICLR 2016 workshop, arXiv 1511.06309",
        variants={
            "base": {},
            "ahead": {"inputs": 10, "horizon": 10},  # ten frames more, each from the one it made before
            "colour": {"channels": 3, "inputs": 4, "horizon": 4},  # for real clips
            "tiny": {"features": 4, "memory": 8, "kernel": 3, "flow_kernel": 5, "inputs": 3, "horizon": 4},
        },
        params=1_035_065,
        weights="none",
        page="st_autoencoder",
        times="whole",
    ),
    System(
        "st-autoencoder-s",
        "midframe.models.st_autoencoder:STAutoencoder",
        task="predict",
        year=2016,
        paper="Spatio-temporal video autoencoder, ICLR 2016 workshop, arXiv 1511.06309; a size of ours for a CPU",
        variants={
            "base": {
                "features": 8,
                "memory": 24,
                "kernel": 5,
                "flow_kernel": 9,
                "inputs": 10,
                "horizon": 10,
                "loss": "bce",
                "every": True,
            },
            "colour": {
                "channels": 3,
                "features": 24,
                "memory": 24,
                "kernel": 5,
                "flow_kernel": 9,
                "inputs": 4,
                "horizon": 4,
                "every": True,
            },
            "tiny": {
                "channels": 3,
                "features": 4,
                "memory": 8,
                "kernel": 3,
                "flow_kernel": 5,
                "inputs": 3,
                "horizon": 4,
                "loss": "bce",
                "every": True,
            },
        },
        params=81_521,
        weights="none",
        page="st_autoencoder",
        times="whole",
    ),
    System(
        "corrflow",
        "midframe.models.corrflow:CorrFlow",
        task="propagate",
        year=2019,
        paper="Self-supervised Learning for Video Correspondence Flow, BMVC 2019, arXiv 1905.00875",
        variants={
            "base": {},
            "memory": {"memory": (0, 1, 3, 5), "soft": True},  # the same weights; more frames to copy from
            "original": {"centres": "original"},
            "tiny": {"widths": (4, 8, 8, 8), "features": 8, "radius": 2, "sampling": 50},
        },
        params=5_291_648,
        weights="none",
        times="whole",
    ),
    System(
        "corrflow-s",
        "midframe.models.corrflow:CorrFlow",
        task="propagate",
        year=2019,
        paper="Video Correspondence Flow, BMVC 2019, arXiv 1905.00875; a size of ours that a CPU can train",
        variants={
            "base": {"widths": (16, 32, 64, 64), "features": 32, "sampling": 1500},
            "memory": {
                "widths": (16, 32, 64, 64),
                "features": 32,
                "sampling": 1500,
                "memory": (0, 1, 3, 5),
                "soft": True,
            },
            "no-restriction": {"widths": (16, 32, 64, 64), "features": 32, "sampling": 1500, "radius": 0},
            "no-dropout": {"widths": (16, 32, 64, 64), "features": 32, "sampling": 1500, "dropout": False},
            "no-sampling": {"widths": (16, 32, 64, 64), "features": 32, "sampling": 0},
            "no-cycle": {"widths": (16, 32, 64, 64), "features": 32, "sampling": 1500, "cycle": 0.0},
            "tiny": {
                "widths": (4, 8, 8, 8),
                "features": 8,
                "radius": 2,
                "sampling": 50,
                "memory": (0, 1),
                "soft": True,
            },
        },
        params=342_960,
        weights="repo",
        cards=("corrflow-s/clips",),
        times="whole",
        page="corrflow",
    ),
    System(
        "colorization",
        "midframe.models.colorization:Colorization",
        task="propagate",
        year=2018,
        paper="Tracking Emerges by Colorizing Videos, ECCV 2018, arXiv 1806.09594",
        variants={
            "base": {},
            "original": {"centres": "original"},
            "tiny": {"widths": (4, 8, 8, 8), "features": 8},
        },
        params=6_034_304,
        weights="none",
        times="whole",
    ),
    System(
        "colorization-s",
        "midframe.models.colorization:Colorization",
        task="propagate",
        year=2018,
        paper="Tracking Emerges by Colorizing Videos, ECCV 2018, arXiv 1806.09594; a size of ours that a CPU can train",
        variants={
            "base": {"widths": (16, 32, 64, 64), "features": 32},
            "tiny": {"widths": (4, 8, 8, 8), "features": 8},
        },
        params=492_016,
        weights="none",
        times="whole",
        page="colorization",
    ),
    System(
        "vae",
        "midframe.models.vae:VAE",
        task="generate",
        year=2014,
        paper="Auto-Encoding Variational Bayes, ICLR 2014, arXiv 1312.6114",
        variants={
            "base": {},
            "deep": {"hidden": (200, 200), "latent": 50},
            "iwae": {"hidden": (200, 200), "latent": 50, "samples": 5},  # Burda et al. 2016
            "plane": {"latent": 2},
            "tiny": {"hidden": (32,), "latent": 2},
        },
        params=815_824,
        weights="repo",
        cards=("vae/mnist",),
        unit="nats a picture",
    ),
    System(
        "draw",
        "midframe.models.draw:DRAW",
        task="generate",
        year=2015,
        paper="DRAW: A Recurrent Neural Network For Image Generation, ICML 2015, arXiv 1502.04623",
        variants={
            "base": {},
            "plain": {"attention": False},
            "tiny": {"steps": 3, "hidden": 16, "latent": 4, "read": 3, "write": 3},
        },
        params=961_515,
        weights="none",
        unit="nats a picture",
    ),
    System(
        "draw-s",
        "midframe.models.draw:DRAW",
        task="generate",
        year=2015,
        paper="DRAW: A Recurrent Neural Network For Image Generation (ours, small), arXiv 1502.04623",
        variants={
            "base": {"steps": 16, "hidden": 128, "latent": 16, "read": 5},
            "plain": {"steps": 16, "hidden": 128, "latent": 16, "attention": False},
            "tiny": {"steps": 3, "hidden": 16, "latent": 4, "attention": False},
        },
        params=241_091,
        weights="repo",
        cards=("draw-s/mnist",),
        page="draw",
        unit="nats a picture",
    ),
    System(
        "bayesian-hypernet",
        "midframe.models.bayesian_hypernet:BayesianHyperNet",
        task="classify",
        year=2017,
        paper="Bayesian Hypernetworks, arXiv 1710.04759; first weights: ICLR 2020 (Chang et al.)",
        variants={
            "base": {"widths": (32, 64)},
            "naive": {"widths": (32, 64), "faulty": True},  # how not to do it
            "shared": {"widths": (32, 64), "conditioning": "shared", "kl": 1.0, "warm_up": 5000},
            "tiny": {"widths": (2, 4), "hidden": 16},
        },
        params=13_501_124,
        weights="none",
        unit="nats a picture",
        page="bayesian_hypernet",
    ),
    System(
        "bayesian-hypernet-s",
        "midframe.models.bayesian_hypernet:BayesianHyperNet",
        task="classify",
        year=2017,
        paper="Bayesian Hypernetworks (ours, small), arXiv 1710.04759; first weights: ICLR 2020 (Chang et al.)",
        variants={
            "base": {},
            "naive": {"faulty": True},
            "shared": {"widths": (16, 32), "conditioning": "shared"},
            "anchored": {"conditioning": "anchored"},
            "bayes": {"widths": (16, 32), "conditioning": "shared", "kl": 1.0, "warm_up": 2400},  # a fifth of the steps
            "digits": {"size": (28, 28), "classes": 10, "widths": (16, 32), "conditioning": "shared"},
            "digits-naive": {
                "size": (28, 28),
                "classes": 10,
                "widths": (16, 32),
                "conditioning": "shared",
                "faulty": True,
            },
            "tiny": {"widths": (2, 4), "hidden": 16},
        },
        params=2_117_804,
        weights="repo",
        cards=("bayesian-hypernet-s/two-digits", "bayesian-hypernet-s/digits"),
        unit="nats a picture",
        page="bayesian_hypernet",
    ),
    System(
        "vae-gp",
        "midframe.models.vae_gp:VAEGP",
        task="fit",
        year=2017,
        paper="Variational Autoencoded Regression, CVPR 2017, arXiv 1908.04015",
        variants={  # frames and size are those of the clip
            "base": {},
            "after": {"training": "after"},  # the autoencoder first, then the process: the paper's baseline
            "linear": {"training": "linear"},
            "tiny": {"frames": 12, "size": (24, 32), "width": 8, "stages": 2, "latent_size": 4},
        },
        params=460_769,
        weights="none",
        page="vae_gp",
    ),
    System(
        "time-to-image",
        "midframe.models.time_to_image:TimeToImage",
        task="fit",
        year=2021,
        paper="NeRV: Neural Representations for Videos, NeurIPS 2021, arXiv 2110.13903; smooth in time: ours",
        variants={  # frames and size are those of the clip
            "base": {},
            "plain": {"frequencies": 40, "penalty": "none"},  # as NeRV: shows what smoothness is worth
            "nerv-s": {
                "frames": 132,
                "size": (720, 1280),
                "frequencies": 40,
                "stem": 512,
                "width": 26,
                "strides": (5, 2, 2, 2, 2),
                "expansion": 1.0,
                "reduction": 2.0,
                "narrowest": 96,
                "activation": "silu",
                "head": 1,
                "error": "l1-ssim",
                "penalty": "none",
            },
            "nerv-m": {
                "frames": 132,
                "size": (720, 1280),
                "frequencies": 40,
                "stem": 512,
                "width": 58,
                "strides": (5, 2, 2, 2, 2),
                "expansion": 1.0,
                "reduction": 2.0,
                "narrowest": 96,
                "activation": "silu",
                "head": 1,
                "error": "l1-ssim",
                "penalty": "none",
            },
            "nerv-l": {
                "frames": 132,
                "size": (720, 1280),
                "frequencies": 40,
                "stem": 512,
                "width": 112,
                "strides": (5, 2, 2, 2, 2),
                "expansion": 1.0,
                "reduction": 2.0,
                "narrowest": 96,
                "activation": "silu",
                "head": 1,
                "error": "l1-ssim",
                "penalty": "none",
            },
            "tiny": {"frames": 16, "size": (32, 32), "stem": 64, "width": 16, "strides": (2, 2, 2)},
        },
        params=485_777,
        weights="none",
        page="time_to_image",
    ),
    System(
        "zooming-slowmo",
        "midframe.models.zooming_slowmo:ZoomingSlowMo",
        task="superresolve",
        year=2020,
        paper="Zooming Slow-Mo: Fast and Accurate One-Stage Space-Time Video Super-Resolution, CVPR 2020, "
        "arXiv 2002.11616",
        variants={"base": {}, "tiny": {"width": 8, "groups": 2, "front": 1, "back": 1}},
        params=11_102_771,
        weights="none",
        page="zooming_slowmo",
        times="1/2",
    ),
    System(
        "zooming-slowmo-s",
        "midframe.models.zooming_slowmo:ZoomingSlowMo",
        task="superresolve",
        year=2020,
        paper="none: Zooming SlowMo (CVPR 2020, arXiv 2002.11616), small, begun as bicubic",
        variants={
            "base": {"width": 16, "groups": 2, "front": 2, "back": 4, "align": False, "residual": True},
            "aligned": {"width": 16, "groups": 2, "front": 2, "back": 4, "residual": True},
            "tiny": {"width": 8, "groups": 2, "front": 1, "back": 1, "align": False, "residual": True},
        },
        params=217_991,
        weights="none",
        page="zooming_slowmo",
        times="1/2",
    ),
    System(
        "videoinr",
        "midframe.models.videoinr:VideoINR",
        task="superresolve",
        year=2022,
        paper="VideoINR: Learning Video Implicit Neural Representation for Continuous Space-Time Super-Resolution, "
        "CVPR 2022, arXiv 2206.04647",
        variants={
            "base": {},
            "splat": {"motion": "splat"},  # forwards, after MoTIF (ICCV 2023)
            "fourier": {"motion": "splat", "mapper": "fourier"},  # and by waves, after BF-STVSR (CVPR 2025)
            "tiny": {"width": 8, "groups": 2, "front": 1, "back": 1, "hidden": (16, 16), "mix": (16, 16)},
        },
        params=10_978_615,
        weights="none",
    ),
    System(
        "videoinr-s",
        "midframe.models.videoinr:VideoINR",
        task="superresolve",
        year=2022,
        paper="none: VideoINR (CVPR 2022, arXiv 2206.04647), small, begun as bicubic",
        variants={
            "base": VIDEOINR_S,
            "splat": {**VIDEOINR_S, "motion": "splat"},
            "fourier": {**VIDEOINR_S, "motion": "splat", "mapper": "fourier"},
            "aligned": {**VIDEOINR_S, "align": True},
            "tiny": {**VIDEOINR_S, "width": 8, "front": 1, "back": 1, "hidden": (16, 16), "mix": (16, 16)},
        },
        params=220_604,
        weights="none",
        page="videoinr",
    ),
)


@cache
def systems() -> tuple[System, ...]:
    """All rows: ours, then those of installed packages. Raises ModelError if such a package's row is unusable."""
    rows = list(SYSTEMS)
    for point in entry_points(group=ENTRY_POINTS):
        origin = point.dist.name if point.dist else point.value
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ModelError(f"{origin}: its systems cannot be loaded ({error}). Repair or uninstall it.") from error
        for row in found if isinstance(found, Iterable) else (found,):
            if not isinstance(row, System):
                raise ModelError(f"{origin}: {point.value} holds {type(row).__name__}, not System. Uninstall it.")
            if any(row.name == other.name for other in rows):
                raise ModelError(f"{origin}: there is another system {row.name!r}. Rename or uninstall it.")
            rows.append(row)
    return tuple(rows)


def resolve(name: str) -> tuple[System, str]:
    """The row and the variant that `name` means: "dis" (its default variant) or "dis/fast".

    Raises UsageError naming what there is.
    """
    wanted, _, variant = name.partition("/")
    rows = {row.name: row for row in systems()}
    if wanted not in rows:
        close = difflib.get_close_matches(wanted, rows, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"No model is called {wanted!r}.{hint} There are: {', '.join(rows)}.")
    row = rows[wanted]
    if not variant:
        return row, row.default
    if variant not in row.variants:
        raise UsageError(f"{row.name} has no variant {variant!r}. It has: {', '.join(row.variants)}.")
    return row, variant


def find(name: str) -> System:
    """The row that `name` ("dis" or "dis/fast") means. Raises UsageError as `resolve` does."""
    return resolve(name)[0]


def check_frames(row: System, task: Literal["interpolate", "predict", "superresolve"] = "interpolate") -> None:
    """Raises UsageError if the system does not make frames of this kind."""
    if task == "superresolve" and row.task == "interpolate":
        raise UsageError(
            f"{row.name} makes frames between frames and keeps their size: {row.name}+bicubic enlarges, too."
        )
    if row.task != task:
        there = [other.name for other in systems() if other.task == task]
        what = DOES.get(row.task, "does something else")
        raise UsageError(f"{row.name} {what}. {', '.join(there[:5])} and others {task}: see `midframe models`.")


def parts_of(name: str) -> tuple[str, ...]:
    """The models that a name is made of: "midnet+bicubic" is two, most are one."""
    return tuple(name.split("+"))


def task_of(name: str) -> Task:
    """What the model does that `name` means; two that are joined enlarge. Raises UsageError for an unknown one."""
    tasks: list[Task] = [resolve(part)[0].task for part in parts_of(name)]
    return tasks[0] if len(tasks) == 1 else "superresolve"


def check_model(
    name: str, task: Literal["interpolate", "predict", "superresolve"] = "interpolate", *, effort: float | None = None
) -> None:
    """Raises UsageError if no system is called `name`, or it does not make frames of this kind, or takes no effort.

    For "superresolve", two names joined by "+" are a model, too: one for time and one for space, in either order.
    """
    rows = [resolve(part)[0] for part in parts_of(name)]
    if len(rows) == 1:
        check_frames(rows[0], task)
    elif task != "superresolve":
        raise UsageError(f"{name} {DOES['superresolve']}; to {task}, name one model.")
    elif sorted(row.task for row in rows) != ["interpolate", "superresolve"]:
        raise UsageError(
            f"{name}: join one model that makes frames between frames and one that enlarges, as in midnet+bicubic "
            "(then enlarge) or bicubic+midnet (enlarge first)."
        )
    check_effort(next((row for row in rows if row.effort), rows[0]), effort)


def check_effort(row: System, effort: float | None) -> None:
    """Raises UsageError if the system takes no effort, or `effort` is not between 0.1 and 1."""
    if effort is None:
        return
    if not row.effort:
        able = ", ".join(other.name for other in systems() if other.effort)
        raise UsageError(f"{row.name} always does all of its work: --effort is for {able}.")
    if not LEAST_EFFORT <= effort <= 1:
        raise UsageError(f"--effort {effort:g}: give a number from {LEAST_EFFORT} to 1, which is all of the work.")
