"""Where shapes go in sampled futures, against where they truly go: the KL divergences of Visual Dynamics' paper.

    futures = Futures(size=64)
    futures.score(model).divergence["circle"]

Xue et al., "Visual Dynamics", NIPS 2016, tell how far the motions of sampled futures are from the true distribution:
for circles, squares, triangles, and for circle and triangle together. How they measured motion is not published. Ours:
of every test picture all (2R+1)³ combinations of steps are painted; each sampled frame is matched with them, both
reduced to half their size by areas, which is the size of difference images; steps are counted over all samples of all
pictures; a shape whose step is not clear, because it is hidden, is not counted. A shape strays if a step across its
line, on top of the one found, comes nearer. Pictures are drawn from a seed that no training takes. Two rows stand
beside a model: "truth", frames painted with true steps, whose divergence is that of finite samples; and "still", the
picture itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from midframe.data.shapes import AXES, KINDS, REACH, Scenes, Shapes, paint, true_motion
from midframe.errors import UsageError
from midframe.metrics.motion import TIE, match_motion, motion_divergence
from midframe.types import Synthesizer

SEED = 2**31 - 2  # recipes count from 1, held-out samples from 2**31 - 1
CHUNK = 256  # pictures painted at once
TOGETHER = 32  # samples of a picture made at once
STRAYING = 8  # samples of a picture of which it is looked whether shapes stray: each takes 6R pictures
ACROSS = ((1, 0), (0, 1), (1, -1))  # (x, y) of one step across the line of each kind
PUBLISHED = (  # the paper's table, as we remember it
    ("paper: flow", (6.77, 7.07, 6.07, 8.42)),
    ("paper: autoencoder", (8.76, 12.37, 10.36, 10.58)),
    ("paper: Visual Dynamics", (1.70, 2.48, 1.14, 2.46)),
)

# The next frame of one picture, `count` times: B 3 S S of 1 1 3 S S repeated, the scene and the generator
Future = Callable[[Float[Tensor, "b 1 3 s s"], Scenes, torch.Generator], Float[Tensor, "b 3 s s"]]


@dataclass(frozen=True, slots=True)
class FutureScores:
    """divergence  KL(true ‖ sampled) of "circle", "square", "triangle" and "joint" (circle and triangle), nats
    clear       share of steps that could be told, 0…1
    astray      share of these that left their line, 0…1
    counts      how often each step −R … R came, of each kind; "joint": R of the circle by R of the triangle
    """

    divergence: dict[str, float]
    clear: float
    astray: float
    counts: dict[str, Int64[Tensor, "..."]]


class Futures:
    """Test pictures of Shapes, drawn from a seed.

    size      of the pictures; a model's own is best
    pictures  how many; samples: futures of each. The paper has 500 pictures
    reach     R, as in training

    Raises UsageError for no pictures or samples, and what `Shapes` raises.
    """

    def __init__(self, size: int = 128, *, pictures: int = 100, samples: int = 100, reach: int = REACH) -> None:
        if min(pictures, samples) < 1:
            raise UsageError(f"futures are counted on 1 picture and sample or more, not {pictures} and {samples}.")
        self.source = Shapes(size, reach=reach)
        self.pictures, self.samples = pictures, samples

    def score(
        self,
        model: Synthesizer,
        device: torch.device | str = "cpu",
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> FutureScores:
        """A predictor's figures: `samples` states of each picture, rendered at t = 1."""

        @torch.no_grad()
        def future(frames: Tensor, _: Scenes, generator: torch.Generator) -> Tensor:
            state = model.prepare(frames.to(device), generator=generator)
            return model.render(state, 1.0).cpu()

        return self.count(future, on_progress)

    def score_truth(self) -> FutureScores:
        """Frames painted with steps of the true distribution."""

        def future(frames: Tensor, scenes: Scenes, generator: torch.Generator) -> Tensor:
            motion = self.source.draw(generator, len(frames))[1]
            return paint(scenes.one(0, len(frames)).moved(motion), self.source.size)

        return self.count(future)

    def score_still(self) -> FutureScores:
        """The pictures themselves: nothing moves."""
        return self.count(lambda frames, scenes, generator: frames[:, 0])

    def count(self, future: Future, on_progress: Callable[[int, int], None] = lambda done, total: None) -> FutureScores:
        reach, bins = self.source.reach, 2 * self.source.reach + 1
        generator = torch.Generator().manual_seed(SEED)
        scenes, _ = self.source.draw(generator, self.pictures)
        counts = {kind: torch.zeros(bins, dtype=torch.int64) for kind in KINDS}
        joint = torch.zeros(bins, bins, dtype=torch.int64)
        told, looked, astray = 0, 0, 0
        for number in range(self.pictures):
            one = scenes.one(number)
            candidates = paint_steps(one, self.source.size, reach)
            frame = paint(one, self.source.size)[:, None]
            for start in range(0, self.samples, TOGETHER):
                many = min(TOGETHER, self.samples - start)
                made = future(frame.expand(many, -1, -1, -1, -1), one, generator)
                made = F.avg_pool2d(made.float(), 2)
                steps, clear = match_motion(made, candidates)
                told += int(clear.sum())
                if start == 0:
                    some = slice(STRAYING)
                    looked += int(clear[some].sum())
                    astray += int((clear[some] & find_stray(made[some], one, steps[some] - reach, reach)).sum())
                for k, kind in enumerate(KINDS):
                    counts[kind] += torch.bincount(steps[clear[:, k], k], minlength=bins)
                both = clear[:, 0] & clear[:, 2]
                pair = steps[both, 0] * bins + steps[both, 2]
                joint += torch.bincount(pair, minlength=bins**2).view(bins, bins)
            on_progress(number + 1, self.pictures)
        all_counts = {**counts, "joint": joint}
        truth = true_motion(reach)
        return FutureScores(
            {name: motion_divergence(truth[name], all_counts[name]) for name in truth},
            told / (len(KINDS) * self.pictures * self.samples),
            astray / max(looked, 1),
            all_counts,
        )


def paint_steps(scene: Scenes, size: int, reach: int) -> Float[Tensor, "n n n 3 s2 s2"]:
    """One scene (B = 1) after every combination of steps −R … R of circle, square and triangle, at half the size."""
    line = torch.arange(-reach, reach + 1)
    steps = torch.cartesian_prod(line, line, line)[..., None] * torch.tensor(AXES)  # combinations × 3 × 2
    made = [F.avg_pool2d(paint(scene.one(0, len(some)).moved(some), size), 2) for some in torch.split(steps, CHUNK)]
    return torch.cat(made).view(len(line), len(line), len(line), 3, size // 2, size // 2)


def find_stray(
    made: Float[Tensor, "b 3 s2 s2"], scene: Scenes, steps: Int64[Tensor, "b 3"], reach: int
) -> Bool[Tensor, "b 3"]:
    """Whether each shape of one scene is nearer to where it is in `made`, a picture of half the size, after 1 … R more
    pixels across its line than at the end of its `steps` (−R … R) along it."""
    size = 2 * made.shape[-1]
    along = steps[..., None] * torch.tensor(AXES)

    def errors(motion: Int64[Tensor, "b 3 2"]) -> Float[Tensor, " b"]:
        pictures = F.avg_pool2d(paint(scene.one(0, len(motion)).moved(motion), size), 2)
        return (made - pictures).square().flatten(1).sum(1)

    best = errors(along)
    stray = torch.zeros(len(made), len(KINDS), dtype=torch.bool)
    for k, across in enumerate(ACROSS):
        for more in (*range(-reach, 0), *range(1, reach + 1)):
            motion = along.clone()
            motion[:, k] += more * torch.tensor(across)
            stray[:, k] |= errors(motion) < best - TIE
    return stray


def format_table(rows: list[tuple[str, FutureScores]]) -> str:
    """A Markdown table, the paper's rows below ours."""
    lines = ["| | circle | square | triangle | circle and triangle | told | astray |", "|---|--:|--:|--:|--:|--:|--:|"]
    for name, scores in rows:
        cells = " | ".join(f"{scores.divergence[kind]:.3f}" for kind in (*KINDS, "joint"))
        lines.append(f"| {name} | {cells} | {scores.clear:.1%} | {scores.astray:.1%} |")
    lines += [f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " | | |" for name, values in PUBLISHED]
    return "\n".join(lines)
