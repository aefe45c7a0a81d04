"""The report of `policies.probing.embeddings` as Markdown that also reads well on a terminal."""

from collections.abc import Mapping
from typing import Any

from policies.probing.embeddings import PROBED
from policies.probing.rows import EMBEDDINGS, UNTRAINED

UNSEEN_ENOUGH = 0.5  # share of z_state's variance


def as_text(result: Mapping[str, Any]) -> str:
    """The whole report, as `policies.probing.embeddings.report` gives it."""
    lines = [f"# What the embeddings of {result['env_id']} hold", ""]
    noise = f"{result['noise']:.0%}"
    for name in result["collapsed"]:
        lines += [
            f"**{name} has collapsed**: it is nearly the same for all rows; what is said of it means nothing.",
            "",
        ]
    if result["factors"]:
        lines += [
            "Linear probes, fitted on one half of the episodes; accuracy on the other. A hidden factor is probed where",
            f"the observation does not show it. (noise): noise of {noise} of its root mean square on the embedding.",
            "var.: the share of the embedding's variance that the factor explains. Untrained: networks of the same",
            "sizes as they begin; what they tell, training has not brought.",
            "",
        ]
        first = next(iter(result["factors"].values()))
        fresh = [name for name in UNTRAINED if name in first["accuracy"]]
        header = ["factor", "kind", "classes", "chance", "z_state", "z_obs", "obs", "state"]
        header += ["z_state (noise)", "z_obs (noise)", "z_state var.", "z_obs var."]
        header += [text for name in fresh for text in (name, f"{name} (noise)")]
        rows = []
        for name, row in result["factors"].items():
            numbers = [row["chance"], *(row["accuracy"][view] for view in PROBED)]
            numbers += [row[group][view] for group in ("accuracy_with_noise", "variance_share") for view in EMBEDDINGS]
            numbers += [row[group][view] for view in fresh for group in ("accuracy", "accuracy_with_noise")]
            rows.append([name, row["kind"], str(row["classes"]), *(f"{number:.3f}" for number in numbers)])
        lines += [*as_table(header, rows), ""]
        lines += _with_shown(result["factors"], noise)
    shared = result["shared_nats"]
    begins = shared.get("z_state_untrained_z_obs")
    lines += [
        f"Shared information, CLUB by a fresh estimator (noise {noise}): I(z_state; z_obs) <= "
        f"{shared['z_state_z_obs']:.2f} nats;"
        + ("" if begins is None else f" of an untrained z_state {begins:.2f};")
        + f" complete overlap would give {shared['ceiling']:.2f}.",
        "",
        *_unseen(result["unseen_share"]),
        f"Decisions by small MLPs (noise {noise}): where z_state holds only what the observation lacks, it fails alone",
        "(zero-on) and succeeds with z_obs (zero-off). This is the reading without reinforcement learning.",
        "",
    ]
    decisions = result["decisions"]
    views = next(iter(decisions.values())).keys() if decisions else ()
    rows = [[view, *(f"{decisions[name][view]:.3f}" for name in decisions)] for view in views]
    return "\n".join([*lines, *as_table(["from", *decisions], rows), ""])


def _unseen(share: Mapping[str, float]) -> list[str]:
    """What of z_state is not to be seen, and a warning where that is little."""
    untrained = (
        f" (of an untrained z_state's: {share['z_state untrained']:.0%})" if "z_state untrained" in share else ""
    )
    warning = [
        f"**Little of z_state is hidden**, below {UNSEEN_ENOUGH:.0%}: an agent that is paid for predicting it is paid",
        "mostly for what it sees anyway. A larger overlap_weight or club_lr, or more epochs, may take more out of it.",
    ]
    return [
        f"{share['z_state']:.0%} of z_state's variance{untrained} are not to be read from the present observation:",
        "that much there is to be gained by looking.",
        *(warning if share["z_state"] < UNSEEN_ENOUGH else []),
        "",
    ]


def _with_shown(factors: Mapping[str, Any], noise: str) -> list[str]:
    """The table of factors that are about something that the observation shows; no lines where there are none."""
    read = {name: row["accuracy_with_shown"] for name, row in factors.items() if "accuracy_with_shown" in row}
    if not read:
        return []
    views = list(next(iter(read.values())))
    header = ["factor", "chance", "shown alone", *(f"with {view}" for view in views[1:])]
    rows = [
        [name, f"{factors[name]['chance']:.3f}", *(f"{row[view]:.3f}" for view in views)] for name, row in read.items()
    ]
    return [
        "What is asked about may be shown, as the places of two things that look alike: small MLPs that are given it,",
        f"alone and beside an embedding (noise {noise}); accuracy as above.",
        "",
        *as_table(header, rows),
        "",
    ]


def as_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown, aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    cells = [header, ["-" * width for width in widths], *rows]
    return ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
