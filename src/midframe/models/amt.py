"""AMT: IFRNet's decoders, corrected at each level by matches of all pixels with all others; several flows a pixel.

Li, Zhu, Han, Hou, Guo, Cheng: "AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation", CVPR 2023,
arXiv 2304.09790.

A second encoder compares every place of frame 0 with every place of frame 1, as RAFT does, in both directions. After
each of three decoders the flow so far is brought from t to whole intervals and the matches around where it points are
read; a small network turns them into corrections of flow and feature. The last decoder gives n pairs of flows, masks
and residuals: n candidates for the frame, of which the mean is taken, and what a last pair of convolutions adds.

    prepare   m = one mean per pair; f0ᵏ, f1ᵏ = encoder(I − m)        1/2 20  1/4 32  1/8 44  1/16 56 channels (S)
              g0, g1 = feat_encoder(I − m)                            1/8, 84 channels
              C01, C10 = ⟨g0, g1⟩/√84 of all pairs, 4 levels each
    render    decoder 4 (1/16 -> 1/8): f0⁴, f1⁴, t                    -> flows F, feature
              update 4: C01 at x + F_t1/(1−t), C10 at x + F_t0/t, F, feature -> both corrected
              decoder 3, update 3; decoder 2, update 2 (-> 1/4, 1/2): feature, w(f0), w(f1), F -> F = Δ + 2·resize(F)
              decoder 1 (-> 1): 3 flow pairs F = Δ + 2·resize(F), masks, residuals
              cₙ = σ(maskₙ)·w(I0) + (1 − σ(maskₙ))·w(I1) + residualₙ;   mean of c + comb_block(c)

Flow: pixels of its own level, (dx, dy), t→0 and then t→1. Nothing of `prepare` depends on t; all updates read at 1/8.

| size | widths | candidates | parameters | multiply-adds, 256×256 |
|---|---|---|---|---|
| S | 20 32 44 56 | 3 | 2,990,543 | 7.2 G |
| L | 48 64 72 128, first kernel 7×7 | 5 | 12,935,367 | 39.6 G |
| G | 84 96 112 128, first kernel 7×7, updates again at the level's own size | 5 | 30,638,919 | 144.8 G |

Where we differ from the authors' code:

* They bring flow to whole intervals with F_t1/t and F_t0/(1−t), which is right at t = 1/2 only. We take F_t1/(1−t) and
  F_t0/t. `lookup="published"` is theirs, for their weights of 8× (GoPro); at t = 1/2 there is no difference.
* Their fixed models know t = 1/2 only, and their weights are to be asked for nothing else. The network is the same.
* Volumes of more than 1 GiB a direction are not made: the same matches are found as they are read.
* Their 8× training shows samples that are not reversed with 1 − t, too, by a slip. Ours has the time that is true.
* The answer is not clamped to [0, 1], so that super-whites of a video survive (the loss clamps, as theirs). Frames are
  warped at their own values and the mean never leaves the encoders, which is the same up to rounding.

Checked against a description of MCG-NKU/AMT (CC BY-NC 4.0), its counts of parameters and its outputs for the same
random weights; nothing of its code is used.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.census import census
from midframe.losses.flow import find_labelled, flow_distillation
from midframe.losses.pixel import charbonnier
from midframe.nn.intermediate_feature import Decoder, Encoder
from midframe.nn.layers import exact, merge, resize, warp_pair
from midframe.nn.pair import (
    Index,
    Reference,
    Time,
    approach,
    check_pair,
    check_size,
    mean_of_pair,
    read_index,
    read_reference,
    read_times,
    spread_times,
)
from midframe.nn.raft import BottleneckBlock, ResidualBlock
from midframe.ops.correlate import correlate_all, look_up, look_up_directly, pool
from midframe.types import Batch, Contract

STRIDE = 16  # of the coarsest features
LEVELS = 4  # of the volumes
RADIUS = 3  # in which matches are read
MATCHES = 2 * LEVELS * (2 * RADIUS + 1) ** 2  # of both directions
NEAREST = 1e-6  # of t to a frame, where flow is divided by it
SLOPE = 0.1  # of every LeakyReLU
LARGEST_VOLUME = 2**30  # bytes a direction; larger ones are not made. 1280×720 is just below

Lookup = Literal["physical", "published"]


class MatchEncoder(nn.Module):
    """What of a picture is compared, at 1/8 of its size: RAFT's encoder, of three layers or of four."""

    def __init__(self, widths: tuple[int, ...], outputs: int, *, bottleneck: bool) -> None:
        super().__init__()
        block = BottleneckBlock if bottleneck else ResidualBlock

        def layer(inputs: int, width: int, stride: int) -> nn.Sequential:
            return nn.Sequential(block(inputs, width, stride, "instance"), block(width, width, 1, "instance"))

        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3)
        self.layer1 = layer(widths[0], widths[0], 1)
        self.layer2 = layer(widths[0], widths[1], 2)
        self.layer3 = layer(widths[1], widths[2], 2)
        self.layer3_2 = layer(widths[2], widths[3], 1) if len(widths) == 4 else nn.Sequential()
        self.conv2 = nn.Conv2d(widths[-1], outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        x = F.relu(F.instance_norm(self.conv1(image)))
        return self.conv2(self.layer3_2(self.layer3(self.layer2(self.layer1(x)))))


class Update(nn.Module):
    """From matches, flow and feature to what is to be added to the feature and to the flow.

    feature     channels of the feature
    of_matches  channels of one convolution 1×1 of the matches, or of it and one 3×3
    shrink      the feature is read, and the corrections are given, at so many times the size of flow and matches
    """

    def __init__(
        self, feature: int, *, hidden: int, of_flow: int, of_matches: tuple[int, ...], fused: int, shrink: int
    ) -> None:
        super().__init__()
        self.shrink = shrink
        self.convc1 = nn.Conv2d(MATCHES, of_matches[0], 1)
        self.convc2 = nn.Conv2d(of_matches[0], of_matches[1], 3, 1, 1) if len(of_matches) == 2 else None
        self.convf1 = nn.Conv2d(4, 2 * of_flow, 7, 1, 3)
        self.convf2 = nn.Conv2d(2 * of_flow, of_flow, 3, 1, 1)
        self.conv = nn.Conv2d(of_matches[-1] + of_flow, fused, 3, 1, 1)
        self.gru = _two_convs(fused + 4 + feature, hidden, hidden)
        self.feat_head = _two_convs(hidden, hidden, feature)
        self.flow_head = _two_convs(hidden, hidden, 4)

    def forward(
        self, feature: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 4 h2 w2"], matches: Float[Tensor, "b m h2 w2"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 4 h w"]]:
        read = F.leaky_relu(self.convc1(matches), SLOPE)
        if self.convc2 is not None:
            read = F.leaky_relu(self.convc2(read), SLOPE)
        moved = F.leaky_relu(self.convf2(F.leaky_relu(self.convf1(flow), SLOPE)), SLOPE)
        fused = F.leaky_relu(self.conv(torch.cat([read, moved], 1)), SLOPE)
        h = self.gru(torch.cat([fused, flow, resize(feature, 1 / self.shrink)], 1))
        return resize(self.feat_head(h), self.shrink), self.shrink * resize(exact(self.flow_head(h)), self.shrink)


def _two_convs(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, 1, 1), nn.LeakyReLU(SLOPE, inplace=True), nn.Conv2d(width, outputs, 3, 1, 1)
    )


class AMT(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames. The defaults are AMT-S.

    widths          channels of the encoder at 1/2, 1/4, 1/8, 1/16
    side            channels that a side block refines twice; at most twice the narrowest width
    first_kernel    of the encoder's very first convolution (7 in L and G)
    candidates      pairs of flows, masks and residuals of the last decoder
    match_widths    of the encoder of what is compared, three layers or four; match_features: channels compared
    bottleneck      its blocks are bottlenecks (S) or plain (L, G)
    hidden, of_flow, of_matches, fused   channels of the updates: in general, of flow, of matches, of both together
    again           decoders 3 and 2 are followed by a second update, at their own size (G)
    comb_kernel     of the two last convolutions (7 in L and G)
    lookup          how flow at t becomes flow of a whole interval: "physical", or "published" for the authors' weights
    index           what it learns from (data/distance.py): "time"; "distance", the label of that name; "reference",
                    that and a frame that is there already: rendering then takes `nn.pair.STEPS` steps from frame 0
    distillation    weight of the loss on flow (paper: 0.002; 0.005 for G)
    scale           the network sees the frames at this part of their size; 0.8 and 0.5 are what the authors take for
                    SNU-FILM and Xiph. 16 / scale must be a whole number: sizes must be multiples of it

    The state is {"frames": B 2 3 H W; "features": per level (f0, f1); "compared": (g0, g1); "volumes": for either
    direction its pyramid, or none if they are too large}; the object holds parameters only. Raises UsageError for
    settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (20, 32, 44, 56),
        side: int = 20,
        first_kernel: int = 3,
        candidates: int = 3,
        match_widths: tuple[int, ...] = (32, 64, 96),
        match_features: int = 84,
        bottleneck: bool = True,
        hidden: int = 76,
        of_flow: int = 20,
        of_matches: tuple[int, ...] = (64,),
        fused: int = 68,
        again: bool = False,
        comb_kernel: int = 3,
        lookup: Lookup = "physical",
        index: Index = "time",
        distillation: float = 0.002,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        multiple = round(STRIDE / scale) if scale > 0 else 0
        if scale <= 0 or abs(multiple * scale - STRIDE) > 1e-6:
            raise UsageError(f"AMT: scale must divide 16 into a whole number (1, 0.8, 0.5, 0.25), got {scale}.")
        if side > 2 * min(widths):
            raise UsageError(f"AMT: side is at most twice the narrowest width ({2 * min(widths)}), got {side}.")
        if lookup not in ("physical", "published"):
            raise UsageError(f'AMT: lookup is "physical" or "published", got {lookup!r}.')
        if len(match_widths) not in (3, 4) or len(of_matches) not in (1, 2) or candidates < 1:
            raise UsageError(
                f"AMT takes three or four match_widths, one or two of_matches and at least 1 candidate; got "
                f"{match_widths}, {of_matches}, {candidates}."
            )
        self.index = index
        self.scale, self.lookup, self.distillation, self.again = scale, lookup, distillation, again
        self.candidates = candidates
        self.contract = Contract(
            multiple=multiple, minimum=4 * multiple, maps=True
        )  # 8 places at 1/8: the coarsest level is one
        c1, c2, c3, c4 = widths
        self.feat_encoder = MatchEncoder(match_widths, match_features, bottleneck=bottleneck)
        self.encoder = Encoder(widths, first_kernel)
        told = 2 * c4 + 1 if index != "reference" else 3 * c4 + 2  # f0, f1, t; the reference's features and distance
        self.decoder4 = Decoder(told, 2 * c4, 4 + c3, side)
        self.decoder3 = Decoder(3 * c3 + 4, 3 * c3, 4 + c2, side)  # feature, f0, f1 warped, flow
        self.decoder2 = Decoder(3 * c2 + 4, 3 * c2, 4 + c1, side)
        self.decoder1 = Decoder(3 * c1 + 4, 3 * c1, 8 * candidates, side)

        def update(feature: int, shrink: int) -> Update:
            return Update(feature, hidden=hidden, of_flow=of_flow, of_matches=of_matches, fused=fused, shrink=shrink)

        self.update4 = update(c3, 1)
        if again:
            self.update3_low, self.update3_high = update(c2, 2), update(c2, 1)
            self.update2_low, self.update2_high = update(c1, 4), update(c1, 1)
        else:
            self.update3, self.update2 = update(c2, 2), update(c1, 4)
        colours = 3 * candidates
        self.comb_block = nn.Sequential(
            nn.Conv2d(colours, 2 * colours, comb_kernel, 1, comb_kernel // 2),
            nn.PReLU(2 * colours),
            nn.Conv2d(2 * colours, 3, comb_kernel, 1, comb_kernel // 2),
        )

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Features and matches of both frames. Raises ContractError if they are not two, or of another size."""
        check_pair("AMT", frames, self.contract)
        seen = resize((frames - mean_of_pair(frames)).flatten(0, 1), self.scale)  # one pass for both frames
        g0, g1 = _halves(self.feat_encoder(seen))
        batch, _, height, width = g0.shape
        small = 4 * batch * (height * width) ** 2 <= LARGEST_VOLUME
        return {
            "frames": frames,
            "features": tuple(_halves(level) for level in self.encoder(seen)),
            "compared": (g0, g1),
            "volumes": (correlate_all(g0, g1, LEVELS), correlate_all(g1, g0, LEVELS)) if small else (),
        }

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("AMT", size, frames)
        times = read_times("AMT", t, frames, self.contract)
        if self.index != "reference":
            return self.decode(state, times)[0]
        return approach(frames, times, lambda here, start: self.decode(state, here, start)[0])

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Reconstruction (Charbonnier + census) and distillation of flow: paper, section 3.5.

        Distillation takes `batch.labels["flow_t0"]` and `["flow_t1"]` (B M 2 H W, pixels, from the target to each
        frame), for the members where `["has_flow"]` (B) is not 0 if that is given; without them it is left out, as in
        the authors' training for 8×. Returns "loss" and its weighted parts.
        """
        state = self.prepare(batch.frames)
        if batch.targets.shape[2:] != batch.frames.shape[2:]:
            raise ContractError(
                f"AMT: targets {tuple(batch.targets.shape[2:])} and frames {tuple(batch.frames.shape[2:])} differ."
            )
        reference = read_reference("AMT", batch, self.index)
        made, found = [], []
        for k, times in enumerate(read_index("AMT", batch, self.index).to(batch.frames).unbind(1)):
            # one by one, or volumes would be copied
            start = None if reference is None else Reference(*(part[:, k] for part in reference))
            picture, flows, coarse = self.decode(state, times, start)
            made.append(picture.clamp(0, 1))
            found.append([flows, *coarse])
        answer, truth = torch.stack(made, 1).flatten(0, 1), batch.targets.flatten(0, 1)
        parts = {"reconstruction": charbonnier(answer, truth) + census(answer, truth)}
        flows, *coarse = (torch.stack(level, 1).flatten(0, 1) for level in zip(*found, strict=True))
        distilled = self._distil(flows, coarse, batch)
        if distilled is not None:
            parts["distillation"] = self.distillation * distilled
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _distil(self, flows: Float[Tensor, "b n 4 h w"], coarse: list[Tensor], batch: Batch) -> Tensor | None:
        """None if no member of the batch has labels. Where the candidates part, the farthest says what to believe."""
        labelled = find_labelled(batch)
        if labelled is None:
            return None
        keep, *targets = labelled
        parts = []
        for k, target in enumerate(targets):
            side = slice(2 * k, 2 * k + 2)
            final = flows[keep][:, :, side].detach()
            apart = (final - target[:, None]).square().sum(2, keepdim=True)  # B n 1 H W
            farthest = final.gather(1, apart.argmax(1, keepdim=True).expand(-1, -1, 2, -1, -1))[:, 0]
            parts.append(flow_distillation([flow[keep][:, side] for flow in coarse], target, final=farthest))
        return parts[0] + parts[1]

    def decode(
        self, state: dict[str, Any], t: Float[Tensor, "b 1 h_t w_t"], reference: Reference | None = None
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b n 4 h w"], list[Tensor]]:
        """The frame; the candidates' flows at full size; the flows at 1/2, 1/4, 1/8. `t`: B 1 1 1, or a map."""
        frames, features = state["frames"], state["features"]
        f0, f1 = features[3]
        told = [f0, f1, spread_times(t, f0.shape[-2:]).to(f0.dtype)]
        if reference is not None:
            seen = resize(reference.frame - mean_of_pair(frames)[:, 0], self.scale)
            told += [self.encoder(seen)[3], spread_times(reference.distance, f0.shape[-2:]).to(f0.dtype)]
        out = self.decoder4(torch.cat(told, 1))
        feature, flow = self._update(state, t, out[:, 4:], exact(out[:, :4]), 4)
        flows = [flow]
        for level, decoder in ((3, self.decoder3), (2, self.decoder2)):
            f0, f1 = features[level - 1]
            out = decoder(torch.cat([feature, *warp_pair(f0, f1, flow), flow], 1))
            feature, flow = self._update(state, t, out[:, 4:], out[:, :4] + 2 * resize(flow, 2), level)
            flows.insert(0, flow)
        f0, f1 = features[0]
        out = exact(self.decoder1(torch.cat([feature, *warp_pair(f0, f1, flow), flow], 1)))
        n = self.candidates
        steps = (
            torch.unflatten(out[:, : 4 * n], 1, (2, n, 2)).transpose(1, 2).flatten(2, 3)
        )  # B n 4 H W; theirs: side first
        fields = steps + 2 * resize(flow, 2)[:, None]
        masks, residuals = torch.sigmoid(out[:, 4 * n : 5 * n]), out[:, 5 * n :]
        size = frames.shape[-2:]
        if out.shape[-2:] != size:  # the network worked at another scale
            fields = torch.unflatten(_enlarge(fields.flatten(1, 2) / self.scale, size), 1, (n, 4))
            masks, residuals = _enlarge(masks, size), _enlarge(residuals, size)
        frame0, frame1 = (frame.repeat_interleave(n, 0) for frame in frames.unbind(1))
        pictures = merge(*warp_pair(frame0, frame1, fields.flatten(0, 1)), masks.flatten(0, 1)[:, None])
        # the authors warp I − m and add m to the sum: the same, as the weights add up to 1
        pictures = torch.unflatten(pictures, 0, (-1, n)) + torch.unflatten(residuals, 1, (n, 3))
        return pictures.mean(1) + self.comb_block(pictures.flatten(1, 2)), fields, flows

    def _update(
        self, state: dict[str, Any], t: Tensor, feature: Tensor, flow: Float[Tensor, "b 4 h w"], level: int
    ) -> tuple[Tensor, Float[Tensor, "b 4 h w"]]:
        """Feature and flow of a level, corrected by the matches around where the flow, brought to 1/8, points."""
        shrink = 2 ** (4 - level)
        small = resize(flow, 1 / shrink) / shrink
        matches = self._look(state, t, small)
        twice = self.again and level < 4
        first = self.get_submodule(f"update{level}" + ("_low" if twice else ""))
        more, step = first(feature, small, matches)
        feature, flow = feature + more, flow + step
        if twice:
            more, step = self.get_submodule(f"update{level}_high")(feature, flow, resize(matches, shrink))
            feature, flow = feature + more, flow + step
        return feature, flow

    def _look(self, state: dict[str, Any], t: Tensor, flow: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b m h w"]:
        """Matches of frame 0 in frame 1, then of frame 1 in frame 0, if motion is even over the whole interval."""
        size = flow.shape[-2:]
        share = exact(spread_times(t, size)).clamp(NEAREST, 1 - NEAREST)  # bfloat16 rounds to 0 and 1
        to1, to0 = (1 - share, share) if self.lookup == "physical" else (share, 1 - share)
        rows = torch.arange(size[0], dtype=flow.dtype, device=flow.device)[:, None].expand(size)
        columns = torch.arange(size[1], dtype=flow.dtype, device=flow.device).expand(size)
        start = torch.stack([columns, rows])
        positions = (start + flow[:, 2:] / to1, start + flow[:, :2] / to0)
        if state["volumes"]:
            read = [look_up(volume, at, RADIUS) for volume, at in zip(state["volumes"], positions, strict=True)]
        else:
            g0, g1 = (exact(maps) for maps in state["compared"])
            read = [
                look_up_directly(one, pool(other, LEVELS), at, RADIUS)
                for one, other, at in ((g0, g1, positions[0]), (g1, g0, positions[1]))
            ]
        return torch.cat(read, 1)


def _halves(maps: Float[Tensor, "b2 c h w"]) -> tuple[Tensor, Tensor]:
    """Those of frame 0 and of frame 1, which lie side by side."""
    f0, f1 = torch.unflatten(maps, 0, (-1, 2)).unbind(1)
    return f0, f1


def _enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the same size (its entry "state_dict") with our names: only DDP's "module." goes."""
    return {key.removeprefix("module."): value for key, value in state.items()}
