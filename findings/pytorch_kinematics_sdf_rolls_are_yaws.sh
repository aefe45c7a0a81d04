#!/usr/bin/env bash
# pytorch-kinematics 0.10.0: of an SDF file roll and yaw of every pose are exchanged, and of an MJCF file a joint's `pos`
# moves its body. A good guess is that the same robot comes out the same by each of the formats that it reads, as it does by
# URDF. But an SDF pose, "x y z roll pitch yaw" about fixed axes as in URDF, is read as turns about z, y and x in this order
# (`sdf.py`, _convert_transform); and `pos`, the point of the body that a joint turns about, is added to the body's place
# and not taken off again behind the joint (`mjcf.py`, _build_chain_recurse): a hinge turns about the body's own
# origin, and the body stands off by `pos` with all joints at 0 as well. Poses without a turn, with one of pitch alone
# or with as much roll as yaw, and joints at their body's origin, as most arms have, do not show it.
#
# Seen: a link of roll 0.3, pitch 0.2, yaw 0.1 has these by URDF, and 0.1, 0.2, 0.3 by SDF. A bar at (0.5, 0, 1) whose hinge
# is 0.5 below it is at (0.5, 0, 0.5) with the hinge at 0, and at (0.38, 0, 0.18) at 0.7; by MuJoCo 3.6.0 it is at
# (0.5, 0, 1) and (0.7, 0, 0.56). With the hinge at the body's origin they agree.
# Exit code 0: still so; 1: the behaviour has changed; 2: the packages could not be installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'pytorch-kinematics==0.10.0' 'mujoco==3.6.0' 'numpy==2.4.6' 'scipy==1.17.1' || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import mujoco
import numpy as np
import pytorch_kinematics
from scipy.spatial.transform import Rotation

WEIGHT = "<inertial><mass>1</mass><inertia>{}</inertia></inertial>".format(
    "".join(f"<{name}>{int(name[1] == name[2])}</{name}>" for name in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"))
)
SDF = """<sdf version="1.6"><model name="arm"><link name="base"><pose>0 0 0 0 0 0</pose>{weight}</link>
<link name="tip"><pose>0 0 1 {turn}</pose>{weight}</link><joint name="joint" type="revolute"><parent>base</parent>
<child>tip</child><axis><xyz>1 0 0</xyz><limit><lower>-1</lower><upper>1</upper></limit></axis></joint></model></sdf>"""
URDF = """<robot name="arm"><link name="base"/><link name="tip"/><joint name="joint" type="revolute"><parent link="base"/>
<child link="tip"/><origin xyz="0 0 1" rpy="{turn}"/><axis xyz="1 0 0"/>
<limit lower="-1" upper="1" effort="1" velocity="1"/></joint></robot>"""
MJCF = """<mujoco><worldbody><body name="rod" pos="0 0 1"><joint name="joint" type="hinge" axis="0 1 0" pos="{pivot}"/>
<geom size="0.1"/><body name="bar" pos="0.5 0 0"><geom size="0.1"/></body></body></worldbody></mujoco>"""


def turned(build, text):
    """Roll, pitch and yaw of the tip, with the joint at 0."""
    found = build(text).forward_kinematics({"joint": 0.0})["tip"].get_matrix()[0].numpy()
    return Rotation.from_matrix(found[:3, :3]).as_euler("xyz").round(3).tolist()


def places(pivot, angle):
    """Of the bar: by pytorch-kinematics, in the simulation, and by hand."""
    text = MJCF.format(pivot=" ".join(map(str, pivot)))
    chain = pytorch_kinematics.build_chain_from_mjcf(text)
    found = chain.forward_kinematics({"joint": angle})["bar"].get_matrix()[0, :3, 3].numpy()
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    data.qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    arm = np.array([0.5, 0, 0]) - pivot
    by_hand = np.array([0, 0, 1]) + pivot + Rotation.from_rotvec([0, angle, 0]).apply(arm)
    return [np.asarray(place, float).round(2).tolist() for place in (found, data.body("bar").xpos, by_hand)]


print("pytorch-kinematics", version("pytorch-kinematics"), "mujoco", mujoco.__version__)
for turn in ([0.3, 0.2, 0.1], [0.5, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]):
    said = " ".join(map(str, turn))
    by_urdf = turned(pytorch_kinematics.build_chain_from_urdf, URDF.format(turn=said))
    by_sdf = turned(pytorch_kinematics.build_chain_from_sdf, SDF.format(turn=said, weight=WEIGHT))
    print("roll, pitch, yaw", turn, "URDF", by_urdf, "SDF", by_sdf)
    assert np.allclose(by_urdf, turn, atol=2e-3) and np.allclose(by_sdf, turn[::-1], atol=2e-3)
for pivot in ([0.0, 0.0, 0.0], [0.0, 0.0, -0.5]):
    for angle in (0.0, 0.7):
        found, simulated, by_hand = places(np.array(pivot), angle)
        print("hinge at", pivot, "angle", angle, "the bar is at", found, "in the simulation", simulated)
        assert np.allclose(simulated, by_hand, atol=0.011)
        about_the_origin = np.array(pivot) + places(np.zeros(3), angle)[1]
        assert np.allclose(found, about_the_origin, atol=0.011)
        assert np.allclose(found, simulated, atol=0.011) == (pivot == [0.0, 0.0, 0.0])
PYTHON
