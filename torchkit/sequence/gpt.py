"""A causal transformer as memory (the GPT-2 block), stepped through a key-value cache."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchkit.fast.gelu import gelu, tanh_gelu
from torchkit.sequence.base import Carry, Memory, at
from utils.errors import UserError, at_least_one


def sine_positions(position: Tensor, width: int) -> Tensor:
    """Sine and cosine encoding (Vaswani et al., 2017) of integer positions (…): (…, width)."""
    rates = torch.exp(torch.arange(0, width, 2, device=position.device) * (-math.log(10_000.0) / width))
    angles = position[..., None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


WRITTEN_OUT = 256  # steps up to which a CPU is faster with the scores in memory than with torch's own attention


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of each step to itself and those before: queries, keys and values (B, heads, T, D) to (B, heads, T, D).

    The scores of short sequences are written out on the CPU: five times as fast there (tested to be the same).
    """
    B, heads, T, D = q.shape
    if q.device.type != "cpu" or T > WRITTEN_OUT:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    future_TT = torch.full((T, T), -math.inf, dtype=q.dtype).triu(1)
    q, k, v = (x.reshape(B * heads, T, D) for x in (q, k, v))
    score = torch.baddbmm(future_TT, q, k.transpose(1, 2), alpha=D**-0.5)
    return torch.bmm(score.softmax(-1).to(v.dtype), v).view(B, heads, T, D)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of queries (B, heads, T, D) to those of S keys and values where `mask` (B, T, S) is True.

    What is masked counts for nothing, even where it is not finite: a weight of 0 alone would make NaN of it.
    """
    broken_BS = ~(k.isfinite().all(-1) & v.isfinite().all(-1)).all(1)
    k, v = (x.masked_fill(broken_BS[:, None, :, None], 0.0) for x in (k, v))
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
    return attended.masked_fill((mask & broken_BS[:, None]).any(-1)[:, None, :, None], torch.nan)


class Block(nn.Module):
    """LayerNorm-attention and LayerNorm-MLP with residuals; the MLP is four times as wide."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def split(self, x_BTW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, heads, T, width / heads)."""
        B, T, W = x_BTW.shape
        q, k, v = self.qkv(self.norm_1(x_BTW)).view(B, T, 3, self.heads, W // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def merge(self, x_BTW: Tensor, attended: Tensor, activation: Callable[[Tensor], Tensor] = tanh_gelu) -> Tensor:
        """The rest of the block after attention (B, heads, T, width / heads); `activation` is GELU by some way."""
        x_BTW = x_BTW + F.dropout(self.project(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)
        widen, _, narrow = self.mlp  # the GELU between them is here by name alone, as `activation` says how
        change = narrow(activation(widen(self.norm_2(x_BTW))))
        return x_BTW + F.dropout(change, self.dropout, self.training)


class GPT(Memory):
    """GPT-2 style blocks over at most `context` steps of an episode; positions count from the episode's start.

    The carry is (keys, values, position): caches (layers, B, heads, context, width / heads) and how many steps of the
    present episode (B,) they hold. The width is that of the input. Beyond the context `forward` raises a ValueError,
    and an exported step gives NaN.
    """

    under_vmap = True
    activation: Callable[[Tensor], Tensor] = staticmethod(gelu)  # of `encode`

    def __init__(self, in_dim: int, context: int, layers: int = 1, heads: int = 2, dropout: float = 0.0):
        super().__init__()
        at_least_one({"layers": layers, "heads": heads})
        if in_dim % heads:
            raise UserError(f"heads={heads}: a divisor of the width {in_dim} is needed")
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}: a share from 0 to below 1 is needed")
        self.out_dim, self.context, self.layers, self.heads = in_dim, context, layers, heads
        self.blocks: list[Block] = [Block(in_dim, heads, dropout) for _ in range(layers)]
        self._registered = nn.ModuleList(self.blocks)
        self.norm = nn.LayerNorm(in_dim)

    def prepare_vmap(self) -> None:
        self.activation = tanh_gelu

    def initial_carry(self, batch_size: int) -> Carry:
        weight = self.norm.weight
        shape = (self.layers, batch_size, self.heads, self.context, self.out_dim // self.heads)
        position = torch.zeros(batch_size, dtype=torch.long, device=weight.device)
        return weight.new_zeros(shape), weight.new_zeros(shape), position

    def encode(self, x: Tensor, place_TB: Tensor | None = None) -> Tensor:
        x_TBF = x if place_TB is None else at(x, place_TB)
        position_T = torch.arange(len(x_TBF), device=x_TBF.device)
        x = x_TBF.transpose(0, 1) + sine_positions(position_T, self.out_dim)
        for block in self.blocks:
            q, k, v = block.split(x)
            x = block.merge(x, causal_attention(q, k, v), self.activation)
        return self.norm(x).transpose(0, 1)

    def forward(self, x_TBF: Tensor, start_TB: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry]:
        T, B = x_TBF.shape[:2]
        keys, values, before_B = self.initial_carry(B) if carry is None else carry
        segment_TB = start_TB.long().cumsum(0)  # 0 while still in the episode of the carry
        step_T1 = torch.arange(T, device=x_TBF.device)[:, None]
        same_BTT = (segment_TB.T[:, :, None] == segment_TB.T[:, None, :]) & (step_T1 >= step_T1.T)
        position_TB = same_BTT.sum(-1).T - 1 + torch.where(segment_TB == 0, before_B, 0)

        slot_C = torch.arange(self.context, device=x_TBF.device)
        to_cache_BTC = (segment_TB.T == 0)[:, :, None] & (slot_C < before_B[:, None, None])
        mask = torch.cat([to_cache_BTC, same_BTT], dim=-1)
        last_BT = segment_TB[-1][:, None] == segment_TB.T  # only the present episode's steps stay in the cache
        write_BT = torch.where(last_BT, position_TB.T, self.context)[:, None, :, None]

        x = (x_TBF + sine_positions(position_TB, self.out_dim)).transpose(0, 1)
        new_keys, new_values = [], []
        for layer, block in enumerate(self.blocks):
            q, k, v = block.split(x)
            all_k, all_v = torch.cat([keys[layer], k], dim=2), torch.cat([values[layer], v], dim=2)
            x = block.merge(x, masked_attention(q, all_k, all_v, mask))
            new_keys.append(self._store(keys[layer], k, write_BT))
            new_values.append(self._store(values[layer], v, write_BT))
        after_B = position_TB[-1] + 1
        if torch.jit.is_tracing():  # type: ignore[attr-defined]  # what is exported cannot raise: NaN
            x = x.masked_fill((after_B > self.context)[:, None, None], torch.nan)
        elif int(after_B.max()) > self.context:
            raise ValueError(f"step {int(after_B.max())} of an episode, but the cache holds {self.context}")
        return self.norm(x).transpose(0, 1), (torch.stack(new_keys), torch.stack(new_values), after_B)

    def _store(self, cache: Tensor, new: Tensor, write_BT: Tensor) -> Tensor:
        """The cache with `new` (B, heads, T, D) written at its slots; slot `context` is a bin that is thrown away."""
        room = torch.cat([cache, torch.zeros_like(cache[:, :, :1])], dim=2)
        return room.scatter(2, write_BT.clamp(max=self.context).expand_as(new), new)[:, :, : self.context]
