#!/usr/bin/env bash
# kinpy 0.6.1: a URDF joint without `<axis>` turns about z, and slides along it. A good guess is what the format says
# and the simulators do: x, (1, 0, 0). No word is said, and with the rest of the file as it is the tool is elsewhere in
# the kinematics than in the simulation of the same file. In `frame.py`, Joint takes (0, 0, 1) for an axis that is None.
#
# Seen: a joint without an axis at 0.5 leaves (0, 0, 1) where it is by kinpy, and takes it to (0, -0.48, 0.88) in
# pybullet 3.2.7; one that slides takes it to (0, 0, 1.5) by kinpy, and to (0.5, 0, 1). With `<axis xyz="1 0 0"/>` they
# agree.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'kinpy==0.6.1' 'pybullet==3.2.7' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from pathlib import Path

import kinpy
import numpy as np
import pybullet

WEIGHT = '<inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
ROBOT = """<robot name="arm"><link name="base">{weight}</link><link name="tip">{weight}</link>
<joint name="joint" type="{kind}"><parent link="base"/><child link="tip"/>{axis}
<limit lower="-1" upper="1" effort="1" velocity="1"/></joint></robot>"""
ABOUT_X = '<axis xyz="1 0 0"/>'


def where_z_ends(kind, axis):
    """Of a point one above the tip's origin, with the joint at 0.5: by kinpy and in the simulation."""
    text, name = ROBOT.format(kind=kind, axis=axis, weight=WEIGHT), f"{kind}{len(axis)}.urdf"
    Path(name).write_text(text)
    tip = kinpy.build_chain_from_urdf(text).forward_kinematics([0.5])["tip"]
    arm = pybullet.loadURDF(name, useFixedBase=True)
    pybullet.resetJointState(arm, 0, 0.5)
    place, turn = pybullet.getLinkState(arm, 0, computeForwardKinematics=True)[4:6]
    simulated = pybullet.multiplyTransforms(place, turn, (0, 0, 1), (0, 0, 0, 1))[0]
    return [np.round(point, 2).tolist() for point in (tip.rot_mat @ [0, 0, 1] + tip.pos, simulated)]


pybullet.connect(pybullet.DIRECT)
seen = {(kind, axis): where_z_ends(kind, axis) for kind in ("revolute", "prismatic") for axis in ("", ABOUT_X)}
print("kinpy", version("kinpy"), seen)
for kind, by_x in (("revolute", [0, -0.48, 0.88]), ("prismatic", [0.5, 0, 1])):
    assert np.allclose(seen[kind, ABOUT_X], [by_x, by_x]) and np.allclose(seen[kind, ""][1], by_x)
assert np.allclose(seen["revolute", ""][0], [0, 0, 1])
assert np.allclose(seen["prismatic", ""][0], [0, 0, 1.5])
PYTHON
