#!/usr/bin/env bash
# pybullet 3.2.7: restoreState brings back places and velocities to the last bit, but neither motor targets nor masses.
# What was set since the state was saved goes on acting, so that the same state has another future.
#
# Seen: poses equal; the arm goes to the newer targets (-0.5 instead of 0.3); the cube weighs 7 kg, as set after saving.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pybullet==3.2.7' 'numpy==2.4.6' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import pybullet as p
import pybullet_data

p.connect(p.DIRECT)
p.setAdditionalSearchPath(pybullet_data.getDataPath())
p.setGravity(0, 0, -9.8)
arm = p.loadURDF("kuka_iiwa/model.urdf", useFixedBase=True)
cube = p.loadURDF("cube_small.urdf", [0.5, 0, 1])
joints = range(p.getNumJoints(arm))


def go_to(target):
    p.setJointMotorControlArray(arm, joints, p.POSITION_CONTROL, targetPositions=[target] * len(joints))


def poses():
    return [p.getJointState(arm, joint)[:2] for joint in joints], p.getBasePositionAndOrientation(cube)


def later():
    for _ in range(100):
        p.stepSimulation()
    return poses()


go_to(0.3)
later()
saved, then = p.saveState(), poses()
future = later()
p.restoreState(saved)
assert later() == future  # bitwise, while nothing else was set
go_to(-0.5)
p.changeDynamics(cube, -1, mass=7.0)
p.restoreState(saved)
assert poses() == then
other, mass = later(), p.getDynamicsInfo(cube, -1)[0]
version = importlib.metadata.version("pybullet")
print("pybullet", version, "first joint:", other[0][0][0], "instead of", future[0][0][0], "mass:", mass)
assert abs(other[0][0][0] + 0.5) < 0.05 < abs(future[0][0][0] + 0.5)
assert mass == 7.0
PYTHON
