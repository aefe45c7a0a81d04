"""The authors' own files, where a machine has them, and networks in the layout of the authors' code."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

WEIGHTS = Path(
    os.environ.get("PUBLISHED_WEIGHTS") or Path(__file__).resolve().parents[3] / "shared/fixtures/public_weights"
)
needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the published weights are not on this machine")


class PublicEncoder(nn.Module):
    """An encoder as the public code has it: named blocks, the ReLU before the pool, nothing shared with ours."""

    def __init__(self, image_shape, blocks, out_dim, flat):
        super().__init__()
        self.image_shape = image_shape
        embedder = nn.ModuleDict({"embedder": nn.Linear(flat, out_dim)})
        self.blocks = nn.ModuleDict({**blocks, "embedder": embedder})
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, x):
        if self.image_shape is not None:
            x = x.reshape(-1, *self.image_shape)
        for name, block in self.blocks.items():
            x = block["embedder"](x.flatten(1)) if name == "embedder" else block(x)
        return x


def public_vector(in_dim, hidden_dim, out_dim):
    blocks = {
        "fc0": nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.ReLU()),
        "fc1": nn.Sequential(nn.Linear(hidden_dim, hidden_dim), nn.ReLU()),
    }
    return PublicEncoder(None, blocks, out_dim, hidden_dim)


def public_image(image_shape, channels, kernels, strides, pools, out_dim, flat):
    blocks, planes = {}, image_shape[0]
    for i, (width, kernel, stride, pool) in enumerate(zip(channels, kernels, strides, pools)):
        pooled = [nn.MaxPool2d(pool)] if pool > 1 else []
        blocks[f"conv{i}"] = nn.Sequential(nn.Conv2d(planes, width, kernel, stride), nn.ReLU(), *pooled)
        planes = width
    return PublicEncoder(image_shape, blocks, out_dim, flat)


def public_agent(obs_dim=3, num_actions=4, embedding=8, layers=1, z_dim=6, head=12, seed=0):
    """The state dict of a whole published agent, with small sizes and weights large enough to bend every curve."""
    generator = torch.Generator().manual_seed(seed)
    width = 2 * embedding

    def layer(name, *shape):
        return {
            f"{name}.weight": 0.5 * torch.randn(shape, generator=generator),
            f"{name}.bias": 0.5 * torch.randn(shape[:1], generator=generator),
        }

    def stored_in_out(name, inputs, outputs):
        made = layer(name, outputs, inputs)
        return made | {f"{name}.weight": made[f"{name}.weight"].t().contiguous()}

    critic = layer("observ_embedder.fc", embedding, obs_dim) | layer("action_embedder.fc", embedding, num_actions)
    for i in range(layers):
        block = f"seq_model.transformer.h.{i}"
        critic |= layer(f"{block}.ln_1", width) | layer(f"{block}.ln_2", width)
        critic |= {f"{block}.attn.bias": torch.ones(1, 1, 9, 9, dtype=torch.uint8).tril()}
        critic |= {f"{block}.attn.masked_bias": torch.tensor(-1e4)}
        critic |= stored_in_out(f"{block}.attn.c_attn", width, 3 * width)
        critic |= stored_in_out(f"{block}.attn.c_proj", width, width)
        critic |= stored_in_out(f"{block}.mlp.c_fc", width, 4 * width)
        critic |= stored_in_out(f"{block}.mlp.c_proj", 4 * width, width)
    critic |= layer("seq_model.transformer.ln_f", width)
    for name in ("current_observ_embedder", "state_embedder"):
        critic |= {f"{name}.{k}": v for k, v in public_vector(obs_dim, 7, z_dim).state_dict().items()}
    critic |= layer("qf.fc0", head, width + z_dim) | layer("qf.fc1", head, head)
    critic |= layer("qf.last_fc", num_actions, head)
    critic |= layer("recon.reconstructor.fc0", 5, width) | layer("recon.reconstructor.last_fc", z_dim, 5)
    target = {f"critic_target.{key}": torch.zeros_like(value) for key, value in critic.items()}
    return {f"critic.{key}": value for key, value in critic.items()} | target
