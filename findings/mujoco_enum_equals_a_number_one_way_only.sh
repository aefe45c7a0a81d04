#!/usr/bin/env bash
# mujoco 4.0.0 (and 3.17.0): a number out of a model equals an enum, but the enum does not equal the number. So
# `model.jnt_type[0] in (mjtJoint.mjJNT_HINGE, …)`, as gymnasium-robotics has it, is False for a hinge: FetchReach cannot be
# made. With 3.6.0 both ways are True.
#
# Seen: 4.0.0: number == enum True, enum == number False, number in (enum,) False; 3.6.0: all True.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'PYTHON'
import sys

import mujoco

xml = '<mujoco><worldbody><body><joint type="hinge"/><geom size="0.1"/></body></worldbody></mujoco>'
number, hinge = mujoco.MjModel.from_xml_string(xml).jnt_type[0], mujoco.mjtJoint.mjJNT_HINGE
seen = {"number == enum": bool(number == hinge), "enum == number": bool(hinge == number), "in": number in (hinge,)}
print("mujoco", mujoco.__version__, type(number).__name__, seen)
both_ways = sys.argv[1] == "both"
assert seen == {"number == enum": True, "enum == number": both_ways, "in": both_ways}
PYTHON
for version in 3.6.0 4.0.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet --disable-pip-version-check "mujoco==$version" 'numpy==2.4.6' || exit 2
done
cd "$folder"
3.6.0/bin/python look.py both
4.0.0/bin/python look.py one
