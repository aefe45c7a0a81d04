"""Runs benchmarks and writes docs/performance.md; those that are not run keep what was measured before.

python benchmarks/run.py [learner acting …] [--out docs] [--date 2026-11-21]
"""

import argparse
import datetime
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.measure import Section, busy_cores, machine  # noqa: E402 after the path

ASKED_FOR = ("peers", "dreamer")  # run where they are named, since they need packages of others
BENCHMARKS = (
    *("learner", "acting", "replay", "stage2", "startup", "growth", "limit"),
    *("memories", "long", "recall", *ASKED_FOR),
)
HEAD = """# Performance

Measured by `python benchmarks/run.py`, never by a test; each section says when, and where another program did it.

The machine, where a section names no other: 2 cores of a virtual x86_64 processor with 512-bit vectors and bfloat16
products, no GPU; Python 3.11.7, torch 2.13.0+cpu.

Where other programs shared it, ratios within a section hold better than its times.

"""

TAIL = """
## Beside the authors' code

The ratios above are against our own plain version, on the processor of the first line, whose wide vectors MKL leaves
unused and oneDNN uses (`utils.device.use_fast_products` is on). They are not ratios against the published code. Beside
that, on one thread of another kind of processor, an Intel one with AMX, where `use_fast_products` stays off since
oneDNN would round, the revision before compiled layers took (theirs : ours)

| what | ratio |
| --- | --- |
| update of `dqn:mi`, gru, B = 64 | 2.7 |
| update of `dqn:mi`, gpt, B = 64 | 2.2 |
| a bare env step, one env | 0.95: ours was slower |
| acting, one env | 1.13 |

where MKL's products were 48 % of an update with gru and the GRU's kernel 23 %; at B = 16 a quarter was Python between
operations.

One env of the grid domains looks its steps up in lists since. Beside 6c36408, in turns, by the processor's time on one
thread (least of five times 20,000 steps of HeavenHell, resets included): a bare step 1.2 to 1.4 µs against 8.5,
**0.16**; as `{"obs", "state"}`, by `envs.make.make_env`, 7.7 against 16.7, 0.46.

Acting with `dqn:mi`, gru, has a GRU's cell in place of a sequence of one row since (the same numbers), and less between
operations: `our_acting` of benchmarks/acting.py, in turns with the revision before (f2871dd), by the processor's time
on one thread, other programs taking most of the machine (least of five processes each): one env 313 µs a step against
380, **0.82**, 16 envs 564 against 733, **0.77** (2026-12-01).

## Compiled layers, on both settings of the products

One update of `dqn:mi`, gru, float32, one thread, in milliseconds of the processor, least (median): the revision before
(6c36408) and after, each in a process of its own, in turns of three updates, while other programs took most of the
machine; whole episodes of 50 steps, and of 12 to 17, as a policy that has learned plays them. *Off*: MKL's products, as
on a processor where the permission to oneDNN would be made use of; `MKL_ENABLE_INSTRUCTIONS=AVX2` changes nothing on
this processor, whose MKL has no wider vectors anyway. On one with AMX, MKL's products are faster than here and the gain
is less; it was not at hand, nor was bfloat16 by AMX.

| update | products off, before | after | ratio | on, before | after | ratio |
| --- | --- | --- | --- | --- | --- | --- |
| B = 16 | 17.8 (19.7) | 11.6 (12.5) | 0.65 (0.63) | 13.2 (14.7) | 11.8 (13.2) | 0.90 (0.90) |
| B = 64 | 58.6 (61.9) | 33.0 (35.8) | 0.56 (0.58) | 32.9 (39.4) | 31.6 (36.5) | 0.96 (0.92) |
| B = 16, short episodes | 8.2 (9.0) | 6.2 (6.8) | 0.76 (0.76) | 6.4 (7.7) | 5.8 (6.3) | 0.90 (0.81) |

At B = 64 the products alone are 4.7 billion multiplications and additions, 19 ms at the rate of this processor, so that
with oneDNN's a ratio of 0.6 is out of reach without fewer of them.

## Several seeds

`python benchmarks/seeds.py --num_seeds=8 --train_episodes=150 --repeats=1`, the machine to itself: eight seeds by
`--num_seeds`, one process each, take 68.9 s by the clock, one seed 17.3 s: **3.97 times** as long, on two cores. One
pair of commands, 2026-11-22. As one batch of stacked parameters (`--batch_seeds`) the update of eight seeds took 8.3
times that of one, on one thread; on a GPU, for which it is meant, it has not been run.

## Bonuses

`python benchmarks/bonuses.py --rounds=8`, an update of `dqn:history` at B = 16, whole episodes of 50 steps, one thread,
by the processor's time, other programs taking most of the machine (2026-11-30): with `cv` it takes 1.26 times as long,
1.11 given the state and 1.25 of the memory's features; with `mv` and `count` 1.01, with `rnd` 1.04.

The gridworld experiment beside the public code of the visitation measures (`python benchmarks/gridworlds.py
--peer=FOLDER --peer_python=PROGRAM`, one thread, in turns, 2026-12-01): of `future` a step and an update of 15 seeds
take 1.06 ms in four rooms, of one seed of theirs 33 ms, 475 times as long for 15; of `marginal` 0.51 and 21 ms, 609
times. Ours are tables of all seeds at once, theirs networks of two and four layers of 256, so that this says what the
experiment costs, not whose networks are faster.

## A whole run

`python benchmarks/whole.py --encoders=data/encoders/heaven_hell --programs ours "ours, two threads" "ours, bf16, two
threads"`, seed 0, the machine to itself: `dqn:mi` on HeavenHell from the start of the program to its last evaluation,
1,200 episodes' worth of steps, 6,043 updates of 16 episodes and an evaluation every 2,000 steps (2026-11-22; what was
learned by the settings of that day is no longer told here, see [results](results/)).

| program | seconds | ratio |
| --- | --- | --- |
| plain, one thread | 618 | 1 |
| ours, one thread | 108 | 5.7 |
| ours, two threads | 84 | **7.4** |
| ours, bf16, two threads | 90 | **6.9** |

Batches are of 16 episodes here, which gain less from bfloat16 and from threads than the 64 of the first section.

## What was kept, and what was not

Kept, because it measured:

- One pass of each network shared by online value, choice of action, predictor and bonus; targets without autograd.
- Each distinct row encoded once; heads on real rows only; episodes cut to the longest of the batch.
- The input projection of the GRU for each distinct pair of action and observation: 3,264 rows became 160 at B = 64.
- The GRU with a backward pass of its own, and each weight's gradient as one product of all steps.
- That GRU's steps compiled by Numba, all in one call, their products and a tanh of eight times torch's speed
  included: a layer over 51 steps takes 0.6 ms forward and 1.8 forward and back at 16 episodes (by torch's operations
  2.1 and 5.3), 2.3 and 8.5 at 64 (5.6 and 14.5), on one thread. Compiled for the first time it takes 6 s (a cache
  beside the code keeps it), in each process 0.8 s. From a width of 256 and 64 episodes on nothing is gained, at 512
  some 5 to 15 % are lost; it uses one thread. Near 0 its tanh is exact to 3e-6 of its size, torch's to 2e-8.
- Linear layers with ReLU between them as compiled products (`torchkit/fast/dense.py`): tiles of 8 rows and 32 columns
  that stay in the registers, written as vectors for LLVM, which does not find them in a loop. Bias and ReLU belong to
  the product, both gradients to one pass; real rows are read where they stand, and the part of a head's first layer
  that reads few distinct rows is made once for each. Layers of 240 to 3,264 rows run at 218 to 254 GFLOP/s forward
  and 200 to 224 back, where a product alone has 161 to 248 by oneDNN and 98 to 109 by MKL, on one thread with 512-bit
  vectors. For one thread, float32, 16 rows and a million multiplications or more; else torch's own, which
  take 4 to 20 µs where a call takes 17 to 30: with small networks a step of 16 envs of HeavenHell takes 0.82 ms in
  place of 0.96 (`dqn:history`, gru of 32, heads of 64 and 64, in turns, two other programs beside it, 2026-12-02).
- The same tiles in the GRU's steps: a layer over 51 steps of 64 episodes takes 1.6 ms forward and 2.3 back, of which
  its products at the processor's rate are 1.3 each way.
- Adam's kernel without `torch.optim` (`torchkit/fast/adam.py`): the same steps to the bit, 1.5 s less at every start,
  since the first optimiser of a process imports torch's compiler, and 0.2 ms less a step.
- λ-returns as one compiled scan, to the bit those of a loop: 55 µs in place of 2,420 for 1,000 steps of 16 episodes, 40
  in place of 103 for 50 steps of 64.
- CLUB's shuffled pairs as counts of how often two distinct transitions meet: two small products in place of four
  gathers of 500 rows and their backward passes.
- Strided numbers made contiguous before softplus, which takes 17 times as long otherwise: a tenth of the Believer's
  update. Its 30 samples of each row are made 64 rows at a time, which a core's cache holds: a fifth of it.
- float32 products by oneDNN instead of MKL (`utils.device.use_fast_products`): twice the rate on this processor, as
  exact; where a processor would round, a check at the start keeps MKL.
- Products of less than 2,000,000 multiplications by MKL all the same, in loops of many such: an epoch of HeavenHell's
  stage 2 takes a third less.
- In stage 2 the gradient of CLUB's likelihood as a kernel of the same kind: five steps on 88 pairs took 2.2 ms by
  autograd, 1.4 written out in torch's operations, and take 0.3 to 0.4.
- GELU as a kernel: 0.4 ms forward and 0.5 back where torch takes 2.2 and 2.3 (3,264 rows of 512). Of an update
  with gpt that is 4 to 5 % by the least of 25; their medians, on a machine less quiet, did not show it.
- Scans as kernels: forward and back at T = 1,000, B = 16, 128 wide, 5.3 ms where pairs of steps in torch's operations
  take 21 and a loop 590 to 680, the machine shared.
- Gates of `bmru`, `mingru` and the gated unit of a block as kernels, one pass forward and one back: the whole pass of
  `bmru` took 99 ms before and 77 after. Six tenths of what is left are products, half as many as the GRU has, so that
  a block of this kind is at most some 2.5 times as fast as that at this width, whatever becomes of the rest.
- Freed memory kept for reuse (`utils.device.keep_memory`): 12,000 page faults an update became none, which was a
  third of the processor's time of an update of `dqn:mi`, gru.
- Attention of up to 256 steps written out on the CPU: 8 ms in place of 53 ms, forward and backward (T = 51, B = 64).

Not kept:

- Linear and ReLU in one operation with a backward pass of their own: 0.4 ms of an update by a private operation of
  torch, nothing by public ones.
- Threads of Python for the GRU's kernel: on two cores they wait for torch's own, which spin.
- A memo of z_state by row: each distinct frame is embedded once an update already, a twentieth of an image update's
  operations by the sizes of the layers.
- MKL's environment variables for wide vectors: without effect on this processor.

Not measured: a GPU and CUDA graphs, since none was at hand (`benchmarks/seeds.py --cuda=0` is ready for one);
`torch.compile`, which needs a C++ compiler where the program runs, and time at each start.
"""


def main() -> None:
    """Runs what is asked for and writes the document anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    free = ", ".join(ASKED_FOR)
    parser.add_argument("names", nargs="*", help=f"out of {', '.join(BENCHMARKS)}; if none, all but {free}")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs")
    parser.add_argument("--page_only", action="store_true", help="write the page anew, of what was measured before")
    parser.add_argument("--date", type=datetime.date.fromisoformat, default=datetime.date.today(), help="of measures")
    args = parser.parse_args()
    if unknown := set(args.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    folder = args.out / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "sections.json"
    sections = json.loads(kept.read_text()) if kept.exists() else {}
    names = args.names or [name for name in BENCHMARKS if name not in ASKED_FOR]
    for name in () if args.page_only else names:
        began, busy = time.monotonic(), busy_cores()
        section = import_module(f"benchmarks.{name}").measure(folder)
        others = f"{busy:.1f} of {os.cpu_count()} cores in use by other programs"
        section.measured = f"{args.date} on {machine()}, with {others} at the start"
        sections[name] = section.to_json()
        kept.write_text(json.dumps(sections, indent=2, ensure_ascii=False) + "\n")
        print(f"{name}: {time.monotonic() - began:.0f} s\n{section.markdown()}\n", flush=True)
    (args.out / "performance.md").write_text(page(sections))


def page(sections: dict[str, dict[str, Any]]) -> str:
    """The document, of sections as they are kept."""
    shown = [Section(**sections[name]).markdown() for name in BENCHMARKS if name in sections]
    return HEAD + "\n\n".join(shown) + "\n" + TAIL


if __name__ == "__main__":
    main()
