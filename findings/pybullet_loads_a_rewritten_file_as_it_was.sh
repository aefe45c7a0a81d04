#!/usr/bin/env bash
# pybullet 3.2.7: a URDF that is written again under its own name is loaded as it was the first time. A good guess is
# that `loadURDF` reads the file, at the latest after resetSimulation; where robots or objects are drawn and written one
# after the other, every episode plays the first one. The simulation keeps what it has read by its path for as long as
# it is connected; `enableFileCaching`, by which the manual means meshes, is what it hangs on.
#
# Seen: a box written as 1, 2 and 3 wide is 1, 1 and, after resetSimulation, 1 wide; without caching, in a new
# connection or under another name it is as it was written.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pybullet==3.2.7' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from pathlib import Path

import pybullet

BOX = """<robot name="box"><link name="box">
<inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>
<collision><geometry><box size="{width} 1 1"/></geometry></collision></link></robot>"""


def loaded(width, name="box.urdf"):
    Path(name).write_text(BOX.format(width=width))
    return pybullet.getCollisionShapeData(pybullet.loadURDF(name), -1)[0][3][0]


pybullet.connect(pybullet.DIRECT)
seen = {"first": loaded(1), "written again": loaded(2)}
pybullet.resetSimulation()
seen |= {"after resetSimulation": loaded(3), "another name": loaded(4, "other.urdf")}
pybullet.setPhysicsEngineParameter(enableFileCaching=0)
seen["without caching"] = loaded(5)
pybullet.disconnect()
pybullet.connect(pybullet.DIRECT)
seen["another connection"] = loaded(6)
print("pybullet", version("pybullet"), seen)
assert seen.pop("written again") == seen.pop("after resetSimulation") == 1
assert list(seen.values()) == [1, 4, 5, 6]
PYTHON
