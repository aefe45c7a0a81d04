"""The page of scripts/inspect_episode.py: numbers and pictures of episodes into inspect_page.html."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.base import Belief, EnvSpec, entropies
from policies.acting.evaluate import ENDINGS, framed
from policies.deployed.inspection import Judged, Played, story
from torchkit.actions import Actions

TEMPLATE = Path(__file__).with_suffix(".html")
MARK = "{{DATA}}"
DIGITS = 8


@dataclass(frozen=True)
class Views:
    """What is the same for all episodes of a page.

    Attributes:
        actions: what the policy's outputs mean.
        method: family, variant and memory.
        notes: why a panel is left out, by its name: picture, bonus, belief; and `share`, if bonuses are annealed.
    """

    spec: EnvSpec
    actions: Actions
    method: str
    notes: Mapping[str, str]


def page(
    views: Views,
    played: Sequence[Played],
    judged: Sequence[Judged | None],
    beliefs: Sequence[Belief | None],
    reads: Sequence[NDArray[np.float64] | None],
) -> str:
    """The whole page; the numbers are in it as JSON, in the element `data`.

    `reads` are probabilities (R, K) of the beliefs' facts as they can be read from the memory.
    """
    spec = views.spec
    data = {
        "env": spec.env_id,
        "method": views.method,
        "notes": dict(views.notes),
        "discrete": spec.discrete,
        "obs_image_shape": spec.obs_image_shape,
        "state_image_shape": spec.state_image_shape,
        "state_features": spec.state_features,
        "episodes": [episode(views, *one) for one in zip(played, judged, beliefs, reads, strict=True)],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return TEMPLATE.read_text().replace(MARK, text)


def episode(
    views: Views, played: Played, judged: Judged | None, belief: Belief | None, read_RK: NDArray[np.float64] | None
) -> dict[str, Any]:
    """One episode in plain values; lists have an entry a row, or a step."""
    one = played.episode
    kind, numbers = views.actions.explained(torch.from_numpy(played.output_TX))
    return {
        "success": one.success,
        "return": plain(one.reward.astype(np.float64).sum()),
        "story": story(played, judged, belief),
        "frames": [png(frame) for frame in played.frames],
        "obs": plain(one.obs),
        "state": plain(one.state),
        "saw": [] if played.saw_R is None else played.saw_R.tolist(),
        "decision": kind,
        "outputs": {name: plain(values.numpy()) for name, values in numbers.items()},
        "action": plain(one.action),
        "reward": plain(one.reward),
        "losses": {} if judged is None else {name: plain(loss) for name, loss in judged.losses.items()},
        "bonuses": {} if judged is None else {name: plain(bonus) for name, bonus in judged.bonuses.items()},
        "facts": [] if belief is None else belief.names,
        "belief_kind": "exact belief" if belief is None else belief.kind,
        "belief": [] if belief is None else plain(belief.probability_RK),
        "entropy": [] if belief is None else plain(belief.entropy()),
        "read": [] if read_RK is None else plain(read_RK),
        "read_entropy": [] if read_RK is None else plain(entropies(read_RK)),
    }


def plain(values: Any) -> Any:
    """Numbers, at any depth, to eight digits; what is no finite number is None."""
    if isinstance(values, np.ndarray):
        return [plain(value) for value in values]
    if isinstance(values, np.integer | int):
        return int(values)
    return float(f"{values:.{DIGITS}g}") if np.isfinite(values) else None


def png(frame: NDArray[np.uint8]) -> str:
    """A picture as text."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def ending(played: Played, held: int) -> list[NDArray[np.uint8]]:
    """The pictures of an episode for a film; the last is framed in a colour that says how it went, and held."""
    *frames, last = played.frames
    return [*frames, *[framed(last, ENDINGS[played.episode.success])] * held]
