"""Figures that papers and repositories print, to stand beside ours. Theirs: other machines, other code, other training.

SSIM is the 3-D Gaussian variant unless `uniform` is set (scikit-image's). LPIPS is of SqueezeNet where CDFI prints it,
and left out here: it compares with nothing of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Published:
    """PSNR in dB, SSIM, IE; parameters in millions; multiply-accumulates at 720p in 10⁹, by the source's own count."""

    model: str
    source: str
    psnr: float | None = None
    ssim: float | None = None
    ie: float | None = None
    uniform: bool = False
    parameters: float | None = None
    gmacs: float | None = None


IFRNET = "IFRNet's repository"
EMA = "EMA-VFI's repository"
UPR = "UPR-Net's repository"
CDFI = "CDFI's repository"

# model: source, parameters, GMACs, then PSNR and SSIM on (Vimeo, UCF101, SNU-FILM easy, medium, hard, extreme)
_TABLE: dict[str, tuple[str, float, float | None, tuple[tuple[float, float], ...]]] = {
    "SepConv": (
        IFRNET,
        21.7,
        360,
        ((33.79, 0.9702), (34.78, 0.9669), (39.41, 0.9900), (34.97, 0.9762), (29.36, 0.9253), (24.31, 0.8448)),
    ),
    "DAIN": (
        IFRNET,
        24.0,
        5510,
        ((34.71, 0.9756), (34.99, 0.9683), (39.73, 0.9902), (35.46, 0.9780), (30.17, 0.9335), (25.09, 0.8584)),
    ),
    "CAIN": (
        IFRNET,
        42.8,
        1290,
        ((34.65, 0.9730), (34.91, 0.9690), (39.89, 0.9900), (35.61, 0.9776), (29.90, 0.9292), (24.78, 0.8507)),
    ),
    "AdaCoF": (
        IFRNET,
        21.8,
        360,
        ((34.47, 0.9730), (34.90, 0.9680), (39.80, 0.9900), (35.05, 0.9754), (29.46, 0.9244), (24.31, 0.8439)),
    ),
    "ABME": (
        IFRNET,
        18.1,
        1300,
        ((36.18, 0.9805), (35.38, 0.9698), (39.59, 0.9901), (35.77, 0.9789), (30.58, 0.9364), (25.42, 0.8639)),
    ),
    "RIFE": (
        IFRNET,
        9.8,
        200,
        ((35.62, 0.9780), (35.28, 0.9690), (40.06, 0.9907), (35.75, 0.9789), (30.10, 0.9330), (24.84, 0.8534)),
    ),
    "IFRNet-S": (
        IFRNET,
        2.8,
        120,
        ((35.59, 0.9786), (35.28, 0.9691), (39.96, 0.9905), (35.92, 0.9792), (30.36, 0.9357), (25.05, 0.8582)),
    ),
    "IFRNet": (
        IFRNET,
        5.0,
        210,
        ((35.80, 0.9794), (35.29, 0.9693), (40.03, 0.9905), (35.94, 0.9793), (30.41, 0.9358), (25.05, 0.8587)),
    ),
    "IFRNet-L": (
        IFRNET,
        19.7,
        790,
        ((36.20, 0.9808), (35.42, 0.9698), (40.10, 0.9906), (36.12, 0.9797), (30.63, 0.9368), (25.27, 0.8609)),
    ),
    "UPR-Net base": (
        UPR,
        1.7,
        None,
        ((36.03, 0.9801), (35.41, 0.9698), (40.37, 0.9910), (36.16, 0.9797), (30.67, 0.9365), (25.49, 0.8627)),
    ),
    "UPR-Net LARGE": (
        UPR,
        6.6,
        None,
        ((36.42, 0.9815), (35.47, 0.9700), (40.44, 0.9911), (36.29, 0.9801), (30.86, 0.9377), (25.63, 0.8641)),
    ),
    "EMA-VFI small": (
        EMA,
        14.5,
        None,
        ((36.07, 0.9797), (35.34, 0.9696), (39.81, 0.9906), (35.88, 0.9795), (30.69, 0.9375), (25.47, 0.8632)),
    ),
    "EMA-VFI": (
        EMA,
        65.7,
        None,
        ((36.64, 0.9819), (35.48, 0.9701), (39.98, 0.9910), (36.09, 0.9801), (30.94, 0.9392), (25.69, 0.8661)),
    ),
}
_COLUMNS = ("vimeo", "ucf101", "snu-film-easy", "snu-film-medium", "snu-film-hard", "snu-film-extreme")

# model: (Xiph 2K, 4K), SSIM of scikit-image, then IE on Middlebury: EMA-VFI's repository
_XIPH: dict[str, tuple[tuple[tuple[float, float], tuple[float, float]], float]] = {
    "DAIN": (((35.95, 0.940), (33.49, 0.895)), 2.04),
    "AdaCoF": (((34.86, 0.928), (31.68, 0.870)), 2.24),
    "SoftSplat": (((36.62, 0.944), (33.60, 0.901)), 1.81),
    "ABME": (((36.53, 0.944), (33.73, 0.901)), 2.01),
    "RIFE": (((36.19, 0.938), (33.76, 0.894)), 1.96),
    "IFRNet": (((36.00, 0.936), (33.99, 0.893)), 1.95),
    "EMA-VFI small": (((36.55, 0.942), (34.25, 0.902)), 1.94),
    "EMA-VFI": (((36.90, 0.945), (34.67, 0.907)), 1.81),
}

PUBLISHED: Mapping[str, tuple[Published, ...]] = MappingProxyType(
    {
        **{
            suite: tuple(
                Published(model, source, *figures[k], parameters=parameters, gmacs=gmacs)
                for model, (source, parameters, gmacs, figures) in _TABLE.items()
            )
            for k, suite in enumerate(_COLUMNS)
        },
        **{
            suite: tuple(Published(model, EMA, *figures[k], uniform=True) for model, (figures, _) in _XIPH.items())
            for k, suite in enumerate(("xiph-2k", "xiph-4k"))
        },
        "middlebury": (
            Published("AdaCoF", CDFI, 35.72, 0.959, uniform=True, parameters=21.8),
            Published("CDFI", CDFI, 37.14, 0.966, uniform=True, parameters=5.0),
            Published("IFRNet-S", IFRNET, 37.24, 0.9851, 1.995, parameters=2.8, gmacs=120),
            Published("IFRNet", IFRNET, 37.50, 0.9861, 1.946, parameters=5.0, gmacs=210),
            Published("IFRNet-L", IFRNET, 38.18, 0.9875, 1.846, parameters=19.7, gmacs=790),
            *(Published(model, EMA, ie=ie) for model, (_, ie) in _XIPH.items() if model not in ("IFRNet", "AdaCoF")),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class FieldRow:
    """What is published of a system, in one line: parameters in millions, PSNR and SSIM on Vimeo-90K's test set.

    systems     names of the catalogue that it stands beside
    septuplets  of the septuplet set, for systems that read four frames
    """

    name: str
    systems: tuple[str, ...]
    source: str
    parameters: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    septuplets: bool = False


def _of_table(model: str, *names: str) -> FieldRow:
    source, parameters, _, figures = _TABLE[model]
    return FieldRow(model, names, source, parameters, *figures[0])


DBVI = "DBVI's paper"
AMT = "AMT's repository"

FIELD: tuple[FieldRow, ...] = (
    _of_table("SepConv", "sepconv"),
    _of_table("DAIN", "dain"),
    _of_table("CAIN", "cain"),
    _of_table("RIFE", "rife-paper"),
    _of_table("IFRNet-S", "ifrnet-s"),
    _of_table("IFRNet", "ifrnet-m"),
    _of_table("IFRNet-L", "ifrnet-l"),
    _of_table("EMA-VFI small", "ema-vfi-s"),
    _of_table("EMA-VFI", "ema-vfi"),
    FieldRow("QVI", ("qvi",), DBVI, 29.23, 34.98, 0.970, septuplets=True),
    FieldRow("VFIT-B", ("vfit",), DBVI, 28.09, 36.96, 0.978, septuplets=True),
    FieldRow(
        "DBVI",
        ("dbvi",),
        "DBVI's paper (15.18 M: its 8x model; 36.17 dB: its 2x model, 21.69 M)",
        15.18,
        36.17,
        0.976,
        septuplets=True,
    ),
    FieldRow("CSPA", ("cspa",), "CSPA's paper", 28.9, 36.76, 0.980),
    FieldRow("UGSP", ("ugsp",), "UGSP's paper, table 2 (8-bit output)", None, 35.62),
    FieldRow("AMT-S", ("amt-s",), AMT, 3.0, 35.97),
    FieldRow("AMT-L", ("amt-l",), AMT, 12.9, 36.35),
    FieldRow("AMT-G", ("amt-g",), "the ranking AIVFI", 30.6, 36.53),
)
