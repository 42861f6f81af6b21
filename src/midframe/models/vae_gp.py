"""VAE + Gaussian process: frames as points on a smooth path, found together with the path.

Yoo, Yun, Chang, Demiris, Choi, "Variational Autoencoded Regression: High Dimensional Regression of Visual Data on
Complex Manifold", CVPR 2017, arXiv 1908.04015. On GPyTorch (Gardner et al., NeurIPS 2018).

An encoder makes of a frame y a Gaussian over L numbers, N(μ, diag σ²); a decoder makes a frame of such numbers. A
Gaussian process over time goes through the μ of the frames that are known, each with its σ² as noise, and says N(m, s²)
for any other time. Trained together: of the frames of a window some, the context, are known to the process, the others
are targets, which it must meet, and whose regressed numbers must decode to the frame:

    loss = E_q [−ln p(y|z)]                                of all frames
         + α E_{z ~ N(m, s²)} [−ln p(y|z)]                 of targets: the point of the paper
         + β KL(N(μ, σ²) ‖ N(m, s²))                       of targets
         + β₀ KL(N(μ, σ²) ‖ N(0, I))                       of the context;   α = 1, β from 0.1 to 1, β₀ = 10⁻³

    encoder  3×3 convolutions of stride 2, GELU, to width·h·w; linear to μ and ln σ²
    decoder  linear, GELU, linear to width·h·w; 3×3 convolutions and PixelShuffle by 2, GELU; 3×3 to C
    process  independent for each of the L numbers, of mean 0, with one kernel

What stands in for the process's n³: `process`
  "exact"     Cholesky, GPyTorch's ExactGP with the noise of each frame
  "inducing"  m points in time stand for all frames, n·m²: closed form for Gaussian noise (Titsias 2009; with noise for
              each frame: Jazbec et al., "Scalable Gaussian Process Variational Autoencoders", AISTATS 2021)
  "state-space"  a Kalman smoother, exact and linear in n, for Matérn kernels (`ops.matern`)
Once fitted, what is left of the process is a weight for each known frame (or inducing point): m(t) = k(t, X) w.

`training` "joint" is the above; "after" trains the VAE alone (β₀ KL of all frames), then the process by its marginal
likelihood; "linear" the same, with straight lines from frame to frame in place of a process: the baselines.

Where we differ: the loss is a reconstruction, for the paper's text is not at hand; no code was published. p(y|z) is a
Gaussian whose variance is the mean squared error of the batch (Rybkin, Daniilidis, Levine, "Simple and Effective VAE
Training with Calibrated Decoders", ICML 2021), which leaves no weight to choose. First and last frame of a window are
always context: a process is not asked to go on. The lower bound of SVGP-VAE, and its data, rotated MNIST, are not here.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, ModelError, UsageError
from midframe.ops.gaussian import draw_normal, kl_normal
from midframe.ops.matern import smooth_matern
from midframe.types import Batch, Contract

try:
    import gpytorch
    from linear_operator.utils.cholesky import psd_safe_cholesky
except ImportError as error:
    raise ModelError(f"vae-gp needs GPyTorch ({error}): pip install 'midframe[gp]'.") from error

Kernel = Literal["rbf", "matern52", "matern32"]
Process = Literal["exact", "inducing", "state-space"]
Training = Literal["joint", "after", "linear"]

KERNELS = ("rbf", "matern52", "matern32")
PROCESSES = ("exact", "inducing", "state-space")
TRAININGS = ("joint", "after", "linear")
FASTER = 5.0  # by how much the kernel learns faster than the rest, in its logarithms: 1e-2 beside 2e-3
QUIET = 1e-5  # least variance of a frame's numbers that the process is told; prior variance is about 1
JITTER = 1e-6
FIRST = -6.0  # ln σ² of a frame's numbers before anything is learnt: noise of 1 would drown them
LEAST = 1e-6  # mean squared error below which frames are as good as known
LIKELY_STEPS = 200  # of finding a kernel by its marginal likelihood
LIKELY_FRAMES = 400  # that it is found from


def positive() -> "gpytorch.constraints.Positive":
    return gpytorch.constraints.Positive(
        transform=lambda raw: (FASTER * raw).exp(), inv_transform=lambda value: value.log() / FASTER
    )


def make_kernel(kind: Kernel, lengthscale: float) -> "gpytorch.kernels.ScaleKernel":
    """Amplitude 1 and this length scale to begin with; both learnt."""
    if kind == "rbf":
        base = gpytorch.kernels.RBFKernel(lengthscale_constraint=positive())
    else:
        base = gpytorch.kernels.MaternKernel(2.5 if kind == "matern52" else 1.5, lengthscale_constraint=positive())
    kernel = gpytorch.kernels.ScaleKernel(base, outputscale_constraint=positive())
    base.lengthscale = lengthscale
    kernel.outputscale = 1.0
    return kernel


class ExactProcess(gpytorch.models.ExactGP):
    """GPyTorch's exact regression from x, V 1 N 1, to y, V L N, with a known variance of each."""

    def __init__(self, x: Tensor, y: Tensor, noise: Tensor, kernel: nn.Module) -> None:
        likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise=noise)
        super().__init__(x.expand(*y.shape, 1), y, likelihood)
        self.mean = gpytorch.means.ZeroMean()
        self.kernel = kernel

    def forward(self, x: Tensor) -> "gpytorch.distributions.MultivariateNormal":
        return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))


class exactly:
    """GPyTorch without approximations: Cholesky at any size, gradients through what it keeps, no talk."""

    def __enter__(self) -> None:
        s = gpytorch.settings
        self._set = [
            s.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False), s.debug(False),
            s.detach_test_caches(False), s.min_fixed_noise(double_value=QUIET / 10),
            s.max_cholesky_size(10**6), s.cholesky_jitter(double_value=JITTER),
        ]  # fmt: skip
        for one in self._set:
            one.__enter__()

    def __exit__(self, *_: object) -> None:
        for one in reversed(self._set):
            one.__exit__()


class VAEGP(nn.Module):
    """t ↦ frame, for one clip: the mean of a Gaussian process over time, decoded.

    frames       of the clip: t = 0 is the first, t = frames − 1 the last
    size         height and width of its frames, channels: 3, or 1 for grey ones
    learnt       how many frames it is fitted to; None: all
    latent_size  L, numbers that a frame becomes
    width        channels of the smallest picture; encoder and decoder are alike
    stages       halvings of the size
    kernel       "rbf", "matern52" or "matern32"
    lengthscale  to begin with, frames; None: 2.5 times the mean distance of the frames learnt from
    process      "exact", "inducing" or "state-space"; inducing: how many points, None: half as many as are learnt
    training     "joint", "after" or "linear", see above
    held         share of a window's frames that are targets
    alpha, beta, prior  weights of the loss, α, β and β₀
    warm_up      steps in which β rises from a tenth to all of it

    It counts the steps it is trained for. Raises UsageError for settings that cannot be meant.
    """

    seen: Tensor
    points: Tensor
    weights: Tensor

    def __init__(
        self,
        *,
        frames: int = 66,
        size: tuple[int, int] = (80, 160),
        channels: int = 3,
        learnt: int | None = None,
        latent_size: int = 16,
        width: int = 48,
        stages: int = 4,
        kernel: Kernel = "matern52",
        lengthscale: float | None = None,
        process: Process = "exact",
        inducing: int | None = None,
        training: Training = "joint",
        held: float = 0.25,
        alpha: float = 1.0,
        beta: float = 1.0,
        prior: float = 1e-3,
        warm_up: int = 300,
    ) -> None:
        super().__init__()
        many = learnt or frames
        points = many if process != "inducing" or training == "linear" else inducing or max(2, many // 2)
        if frames < 3 or many < 3 or points < 2 or min(*size, channels, latent_size, stages) < 1 or width < 4:
            raise UsageError(
                f"VAEGP: a clip of 3 frames or more, all sizes 1 or more, a width of 4 or more; got {frames} frames, "
                f"{many} learnt, size {size}, {channels} channels, latent_size {latent_size}, {stages} stages, "
                f"width {width}, {points} points."
            )
        if kernel not in KERNELS or process not in PROCESSES or training not in TRAININGS:
            raise UsageError(
                f"VAEGP: kernel {kernel!r} is one of {', '.join(KERNELS)}, process {process!r} one of "
                f"{', '.join(PROCESSES)}, training {training!r} one of {', '.join(TRAININGS)}."
            )
        if process == "state-space" and kernel == "rbf":
            raise UsageError("VAEGP: an RBF kernel has no state space; take matern52, or another process.")
        if min(alpha, beta, prior, warm_up) < 0 or (lengthscale or 1) <= 0 or not 0 < held <= 0.5:
            raise UsageError(f"VAEGP: no weight is negative, lengthscale {lengthscale} above 0, held {held} 0 to 0.5.")
        self.contract = Contract(inputs=None, covers=(0, frames - 1), channels=channels)
        self.frames, self.size, self.channels, self.latent_size = frames, size, channels, latent_size
        self.kind: Any = kernel
        self.process, self.training_of = process, training
        self.held, self.alpha, self.beta, self.prior, self.warm_up = held, alpha, beta, prior, warm_up

        widths = [max(8, width >> (stages - 1 - k)) for k in range(stages)]
        self.grid = (-(-size[0] // 2**stages), -(-size[1] // 2**stages))
        cells = width * self.grid[0] * self.grid[1]
        down: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            down += [nn.Conv2d(before, after, 3, 2, 1), nn.GELU()]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(cells, 2 * latent_size))
        self.stem = nn.Sequential(nn.Linear(latent_size, 128), nn.GELU(), nn.Linear(128, cells), nn.GELU())
        up: list[nn.Module] = []
        for before, after in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
            up += [nn.Conv2d(before, 4 * after, 3, 1, 1), nn.PixelShuffle(2), nn.GELU()]
        self.decoder = nn.Sequential(*up, nn.Conv2d(widths[0], channels, 3, 1, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):  # PyTorch's own make signals fade: a small ball is not seen
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.constant_(layer.bias, 0.0)  # type: ignore[arg-type]  # none is without
        last: Any = self.encoder[-1]
        nn.init.zeros_(last.weight[latent_size:])
        nn.init.constant_(last.bias[latent_size:], FIRST)
        self.kernel = make_kernel(kernel, lengthscale or 2.5 * (frames - 1) / max(1, many - 1))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        # what is left of the process: times of frames, or inducing points, and a weight for each; None is known yet
        self.register_buffer("points", torch.linspace(0, frames - 1, points, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(points, latent_size, dtype=torch.float64))

    # ---- frames and numbers ----

    def encode(self, frames: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n l"], Float[Tensor, "n l"]]:
        """μ and ln σ². Raises ContractError for frames of another size."""
        if tuple(frames.shape[1:]) != (self.channels, *self.size):
            raise ContractError(
                f"VAEGP was made for frames of {self.channels} {self.size[0]} {self.size[1]} (C H W), not "
                f"{tuple(frames.shape[1:])}."
            )
        padded = [-side % 2 ** (len(self.encoder) // 2 - 1) for side in self.size]
        whole = nn.functional.pad(frames, (0, padded[1], 0, padded[0]), mode="replicate")
        mean, log_variance = self.encoder(whole).chunk(2, 1)
        return mean, log_variance.clamp(-14, 6)

    def paint(self, latent: Float[Tensor, "n l"]) -> Float[Tensor, "n c h w"]:
        """Means of p(y|z). No sigmoid: where much is black, its gradient is gone before anything is learnt."""
        maps = self.stem(latent.float()).view(len(latent), -1, *self.grid)
        return self.decoder(maps)[..., : self.size[0], : self.size[1]]

    def decode(self, latent: Float[Tensor, "n l"]) -> Float[Tensor, "n c h w"]:
        """Frames in [0, 1]."""
        return self.paint(latent).clamp(0, 1)

    def latent(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b l"]:
        """The process's mean at any times; with "linear" what lies straight between the frames on both sides."""
        t = t.double()
        if self.training_of == "linear":
            last = len(self.points) - 1
            after = torch.searchsorted(self.points, t.contiguous()).clamp(1, last)
            begin, end = self.points[after - 1], self.points[after]
            share = ((t - begin) / (end - begin))[:, None].clamp(0, 1)
            return torch.lerp(self.weights[after - 1], self.weights[after], share)
        covariance = self.kernel(t[:, None], self.points[:, None]).to_dense()
        return covariance @ self.weights

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.decode(self.latent(t))

    # ---- the process ----

    def regress(
        self,
        x: Float[Tensor, "v n"],
        mean: Float[Tensor, "v l n"],
        variance: Float[Tensor, "v l n"],
        at: Float[Tensor, "v q"],
    ) -> tuple[Float[Tensor, "v l q"], Float[Tensor, "v l q"]]:
        """Mean and variance at `at` of V times L processes that are known at x; differentiable, in float64."""
        x, mean, at = x.double(), mean.double(), at.double()
        variance = variance.double().clamp(min=QUIET)
        if self.process == "state-space":
            like = {"lengthscale": self.kernel.base_kernel.lengthscale, "amplitude": self.kernel.outputscale}
            found = [smooth_matern(*one, **like, kind=self.kind) for one in zip(x, mean, variance, at, strict=True)]
            return torch.stack([m for m, _ in found]), torch.stack([s for _, s in found])
        if self.process == "inducing":
            z, weights, root, tight = self._induce(x, mean, variance)
            across = self.kernel(at[:, None, :, None], z).to_dense()  # V 1 Q M
            knows = torch.linalg.solve_triangular(root, across.mT, upper=False).square().sum(-2)
            doubts = torch.linalg.solve_triangular(tight, across.mT, upper=False).square().sum(-2)
            spread = self.kernel.outputscale - knows + doubts
            return (across @ weights[..., None])[..., 0], spread.clamp(min=QUIET)
        with exactly():
            process = ExactProcess(x[:, None, :, None], mean, variance, self.kernel).eval()
            found = process(at[:, None, :, None].expand(*mean.shape[:2], -1, 1))
            return found.mean, found.variance.clamp(min=QUIET)

    def _induce(self, x: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points, V L M weights of the mean, and the Cholesky factors of K_mm and of K_mm + K_mn Σ⁻¹ K_nm."""
        z = torch.linspace(0, self.frames - 1, len(self.points), dtype=torch.float64, device=x.device)[:, None]
        own = self.kernel(z, z).to_dense()
        own = own + JITTER * torch.diagonal(own).mean() * torch.eye(len(z), dtype=own.dtype, device=own.device)
        across = self.kernel(x[:, None, :, None], z).to_dense()  # V 1 N M
        both = own + across.mT @ (across / variance[..., None])
        root, tight = psd_safe_cholesky(own), psd_safe_cholesky(both)
        weights = torch.cholesky_solve(across.mT @ (mean / variance)[..., None], tight)[..., 0]
        return z, weights, root, tight

    @torch.no_grad()
    def observe(self, parts: Iterable[tuple[Float[Tensor, "n c h w"], Float[Tensor, " n"]]]) -> None:
        """Once trained: the process is told all frames learnt from, with their times, part by part.

        Raises ContractError for other than `learnt` frames.
        """
        seen = [(self.encode(frames), t.double()) for frames, t in parts]
        x = torch.cat([t for _, t in seen]).to(self.points)
        order = x.argsort()
        x = x[order]
        mean = torch.cat([m for (m, _), _ in seen]).double()[order]
        variance = torch.cat([v for (_, v), _ in seen]).double()[order].exp().clamp(min=QUIET)
        if self.process != "inducing" and len(x) != len(self.points):
            raise ContractError(f"VAEGP was made to learn {len(self.points)} frames; it is told {len(x)}.")
        if self.training_of == "after":
            self._fit_kernel(x, mean, variance)
        if self.training_of == "linear":
            self.points.copy_(x), self.weights.copy_(mean)
        elif self.process == "inducing":
            z, weights, _, _ = self._induce(x[None], mean.T[None], variance.T[None])
            self.points.copy_(z[:, 0]), self.weights.copy_(weights[0].T)
        elif self.process == "state-space":
            smooth, _ = self.regress(x[None], mean.T[None], variance.T[None], x[None])
            self.points.copy_(x), self.weights.copy_((mean - smooth[0].T) / variance)  # K w = smooth, (K + Σ) w = mean
        else:
            with exactly():
                process = ExactProcess(x[None, None, :, None], mean.T[None], variance.T[None], self.kernel).eval()
                process(x[:1, None].expand(1, self.latent_size, 1, 1))
                self.points.copy_(x), self.weights.copy_(process.prediction_strategy.mean_cache[0].T)

    @torch.enable_grad()
    def _fit_kernel(self, x: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Length scale and amplitude of the highest marginal likelihood; frames evenly picked where they are many."""
        step = -(-len(x) // LIKELY_FRAMES)
        optimiser = torch.optim.Adam(self.kernel.parameters(), 1e-2)
        for _ in range(LIKELY_STEPS):
            optimiser.zero_grad()
            likely = self.log_marginal(x[::step], mean[::step].T, variance[::step].T)
            torch.autograd.backward(-likely / mean[::step].numel())
            optimiser.step()

    def log_marginal(
        self, x: Float[Tensor, " n"], mean: Float[Tensor, "l n"], variance: Float[Tensor, "l n"]
    ) -> Float[Tensor, ""]:
        """ln of the density of L rows of numbers under the process, nats; differentiable in the kernel."""
        with exactly():
            process = ExactProcess(x[None, None, :, None].double(), mean[None], variance[None], self.kernel).train()
            marginal = gpytorch.mlls.ExactMarginalLogLikelihood(process.likelihood, process)
            return marginal(process(*process.train_inputs), process.train_targets).sum() * len(x)

    # ---- learning ----

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Of windows batch.targets, B M C H W, at batch.target_times; M frames or more of one film each, 4 at least.

        Returns "loss", nats a frame; "error", the mean squared error; "kl"; for "joint" also "regressed", the error of
        targets that are decoded from the process. Raises ContractError for frames of another size or too few.
        """
        frames, times = batch.targets, batch.target_times
        windows, many = frames.shape[:2]
        if many < 4:
            raise ContractError(f"VAEGP learns from windows of 4 frames or more, not {many}.")
        mean, log_variance = (value.view(windows, many, -1) for value in self.encode(frames.flatten(0, 1)))
        made = self.paint(draw_normal(mean, log_variance).flatten(0, 1)).view(frames.shape)
        error = (made - frames).square()
        noise = error.detach().mean().clamp(min=LEAST)
        pixels = frames[0, 0].numel()
        said = 0.5 * (error.flatten(2).sum(2) / noise + pixels * (noise.log() + math.log(2 * math.pi)))  # B M
        if self.training:
            self.seen += 1
        if self.training_of != "joint":
            divergence = kl_normal(mean, log_variance).mean()
            return {"loss": said.mean() + self.prior * divergence, "error": error.mean(), "kl": divergence}

        inner = torch.rand(windows, many - 2, device=frames.device).argsort(1) + 1
        some = max(1, round(self.held * many))
        targets = inner[:, :some].sort(1).values
        ends = inner.new_tensor([0, many - 1]).expand(windows, 2)
        context = torch.cat((inner[:, some:], ends), 1).sort(1).values

        def pick(values: Tensor, which: Tensor) -> Tensor:  # B M L → B L K
            return values.gather(1, which[..., None].expand(-1, -1, self.latent_size)).mT

        middle, spread = self.regress(
            times.gather(1, context), pick(mean, context), pick(log_variance, context).exp(), times.gather(1, targets)
        )
        own, own_spread = pick(mean, targets).double(), pick(log_variance, targets).double()
        divergence = 0.5 * ((own_spread.exp() + (own - middle).square()) / spread - 1 - own_spread + spread.log())
        drawn = draw_normal(middle, spread.log()).mT.flatten(0, 1)
        truth = frames[torch.arange(windows, device=frames.device)[:, None], targets]
        missed = (self.paint(drawn).view(truth.shape) - truth).square()
        regressed = 0.5 * (missed.sum() / noise + missed.numel() * (noise.log() + math.log(2 * math.pi)))
        rising = min(1.0, 0.1 + 0.9 * float(self.seen) / self.warm_up) if self.training and self.warm_up else 1.0
        known = kl_normal(pick(mean, context).mT, pick(log_variance, context).mT).sum()
        extra = self.alpha * regressed + rising * self.beta * divergence.sum() + self.prior * known
        return {
            "loss": said.mean() + extra.float() / (windows * many),
            "error": error.mean(),
            "kl": divergence.sum((1, 2)).mean().float() / some,
            "regressed": missed.mean(),
        }
