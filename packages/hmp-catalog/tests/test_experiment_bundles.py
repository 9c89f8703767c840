"""Chains carried away in one file: equal to the last bit, whole or not at all, checked before anything is unpickled."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import random
import runpy
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("joblib")
pytest.importorskip("polars")
pytest.importorskip("sklearn")

sys.path.append(str(Path(__file__).parent))
import trained
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from trained import Shelf, Trained

from hmp_catalog.errors import ArtifactDamaged, ArtifactLost
from hmp_catalog.experiments.bundles import Bundle, write
from hmp_catalog.experiments.predicting import predict
from hmp_catalog.experiments.replaying import replay
from hmp_core.errors import (
    ArchiveInvalid,
    HmpError,
    InvalidInput,
    MissingPart,
    NotWritable,
    PathNotFound,
    SchemaTooNewError,
)


@pytest.fixture(scope="module")
def chains() -> dict[str, Trained]:
    return {made.__name__: made() for made in (trained.regression, trained.several, trained.classification)}


@pytest.fixture
def one(chains) -> Trained:
    return chains["regression"]


@pytest.fixture
def bundle(one, tmp_path) -> Path:
    return write(one.chain, one.shelf.read, tmp_path / "model.n4a")


def replayed(one: Trained) -> Any:
    return replay(one.chain, one.shelf.load, one.asked)


def manifest(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
        return found


Change = Callable[[dict[str, bytes]], None]


def rewrite(bundle: Path, change: Change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a bundle anew with other members, by name, in place of the old one."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(bundle, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def retell(members: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    said = json.loads(members["manifest.json"])
    change(said)
    members["manifest.json"] = json.dumps(said).encode()


def artifacts(members: dict[str, bytes]) -> list[str]:
    return [name for name in members if name.startswith("artifacts/")]


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.place),))


# ── predicting ───────────────────────────────────────────────────────────────────────────────────────


def test_another_process_predicts_the_same_to_the_last_bit_without_a_workspace(chains, tmp_path, python) -> None:
    for name, one in chains.items():
        write(one.chain, one.shelf.read, tmp_path / f"{name}.n4a")
        np.save(tmp_path / f"{name}.npy", one.asked)
    code = """
        import sys, pathlib, numpy as np
        from hmp_catalog.experiments.predicting import predict
        for bundle in sorted(pathlib.Path(sys.argv[1]).glob("*.n4a")):
            np.save(bundle.with_suffix(".out.npy"), predict(bundle, np.load(bundle.with_suffix(".npy"))))
    """
    python(code, tmp_path)
    for name, one in chains.items():
        found, expected = np.load(tmp_path / f"{name}.out.npy"), replayed(one)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["regression", "several", "classification"])
def test_a_bundle_predicts_what_the_chain_does_as_often_as_it_is_asked(chains, name, tmp_path) -> None:
    one = chains[name]
    opened = Bundle.open(write(one.chain, one.shelf.read, tmp_path / "model"))
    for _ in range(2):
        assert opened.predict(one.asked).tobytes() == replayed(one).tobytes()


def test_regressions_labels_and_several_targets_have_their_shapes(chains) -> None:
    assert {name: replayed(one).shape for name, one in chains.items()} == {
        "regression": (9,),
        "several": (7, 3),
        "classification": (8,),
    }
    assert set(replayed(chains["classification"])) <= {"clay", "loam, sandy", "été"}


def scaled_by_wavelengths() -> Any:
    """Return an operator whose class no other process could import."""

    class Scaled:
        def transform(self, X: Any, wavelengths: Any = None) -> Any:
            return X * wavelengths

    return Scaled()


@pytest.mark.parametrize("form", ["n4a", "n4a.py"])
def test_wavelengths_reach_the_operators_that_ask_for_them(tmp_path, form) -> None:
    pytest.importorskip("cloudpickle")
    X, wavelengths, shelf = np.random.default_rng(1).random((5, 3)), np.array([1.0, 2.0, 4.0]), Shelf()
    model = Ridge().fit(X * wavelengths, X.sum(axis=1))
    steps = [
        {"step_idx": 1, "operator_class": "Scaled", "stateless": False},
        {"step_idx": 2, "operator_class": "Ridge", "stateless": False},
    ]
    shared = {"1": shelf.put(scaled_by_wavelengths(), form="cloudpickle")}
    chain = {"steps": steps, "model_step_idx": 2, "fold_artifacts": {"f": shelf.put(model)}, "shared_artifacts": shared}
    place = write(chain, shelf.read, tmp_path / "model", form)
    if form == "n4a":
        found = predict(place, X, wavelengths=wavelengths)
    else:
        found = runpy.run_path(str(place))["predict"](X, wavelengths)
    assert found.tobytes() == model.predict(X * wavelengths).tobytes()


def test_each_source_goes_through_its_own_operators(tmp_path) -> None:
    rng, shelf = np.random.default_rng(2), Shelf()
    sources = [rng.random((6, 2)), rng.random((6, 3))]
    scalers = [StandardScaler().fit(X) for X in sources]
    joined = np.hstack([scaler.transform(X) for scaler, X in zip(scalers, sources, strict=True)])
    model = Ridge().fit(joined, rng.random(6))
    ids = [shelf.put(scaler) for scaler in scalers]
    steps = [
        {"step_idx": 1, "operator_class": "StandardScaler", "stateless": False},
        {"step_idx": 2, "operator_class": "Ridge", "stateless": False},
    ]
    shared = {"1": ids, "_source_map": {"1": {"0": ids[:1], "1": ids[1:]}}}
    chain = {"steps": steps, "model_step_idx": 2, "fold_artifacts": {"f": shelf.put(model)}, "shared_artifacts": shared}
    found = predict(write(chain, shelf.read, tmp_path / "model"), sources)
    assert found.tobytes() == model.predict(joined).tobytes()


def test_predict_takes_a_path_as_text_or_a_bundle_that_is_open(one, bundle) -> None:
    expected = replayed(one).tobytes()
    assert predict(str(bundle), one.asked).tobytes() == expected
    assert predict(model=Bundle.open(bundle), data=one.asked).tobytes() == expected


def test_a_bundle_can_be_sent_to_another_process(one, bundle) -> None:
    again = pickle.loads(pickle.dumps(Bundle.open(bundle)))
    assert again.predict(one.asked).tobytes() == replayed(one).tobytes()
    assert repr(again) == f"Bundle({str(bundle)!r}, model_class='sklearn.linear_model.Ridge')"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"model": "model.n4a", "chain_id": "abc", "workspace_path": "."},
        {"model": "model.n4a", "workspace_path": "."},
        {"chain_id": "abc"},
        {"workspace_path": "."},
        {"model": object()},
    ],
)
def test_predict_is_told_once_what_predicts(said) -> None:
    with pytest.raises(ValueError):
        predict(**said, data=[[1.0]])


def test_predict_is_told_for_what(bundle) -> None:
    with pytest.raises(ValueError, match="data is None"):
        predict(bundle)


def test_predict_says_how_a_script_is_run(tmp_path) -> None:
    with pytest.raises(InvalidInput, match=r"python .*model\.n4a\.py input\.csv output\.csv"):
        predict(tmp_path / "model.n4a.py", [[1.0]])


def test_a_store_exports_what_it_replays_and_says_where_it_was_trained(one, tmp_path) -> None:
    pytest.importorskip("polars")
    from hmp_catalog.experiments.store import WorkspaceStore

    chain = one.chain
    with WorkspaceStore(tmp_path / "store") as store:
        run = store.begin_run("spring", {}, [{"name": "wheat"}])
        pipeline = store.begin_pipeline(run, "ridge", {}, [], "wheat", "abc")
        ids = {
            artifact_id: store.save_artifact(one.shelf.load(artifact_id), said["operator_class"], "any", "joblib")
            for artifact_id, (said, _) in one.shelf.kept.items()
        }
        folds = {fold: ids[each] for fold, each in chain["fold_artifacts"].items()}
        shared = {step: [ids[each] for each in listed] for step, listed in chain["shared_artifacts"].items()}
        said = [chain[key] for key in ("steps", "model_step_idx", "model_class", "preprocessings", "fold_strategy")]
        chain_id = store.save_chain(pipeline, *said, folds, shared)
        expected = store.replay_chain(chain_id, one.asked).tobytes()
        place = store.export_chain(chain_id, tmp_path / "out" / "model")
    assert predict(chain_id=chain_id, data=one.asked, workspace_path=tmp_path / "store").tobytes() == expected
    shutil.rmtree(tmp_path / "store")
    assert predict(place, one.asked).tobytes() == expected == replayed(one).tobytes()
    told = manifest(place)
    known = ("run_id", "run_name", "dataset_name", "dataset_hash", "datasets", "pipeline_id", "chain_id")
    where = [run, "spring", "wheat", "abc", [{"name": "wheat"}], pipeline, chain_id]
    assert [told[key] for key in known] == where


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_manifest_tells_where_a_chain_comes_from_and_lists_every_file(one, tmp_path) -> None:
    origin = {"run_id": "r1", "dataset_name": "wheat", "datasets": [{"name": "wheat"}]}
    path = write(one.chain, one.shelf.read, tmp_path / "model", origin=origin)
    said = manifest(path)
    files, rows = said.pop("files"), said.pop("artifacts")
    versions = said.pop("versions")
    assert said == {
        "bundle_format_version": "1.0",
        "hmp_version": said["hmp_version"],
        "created_at": "2025-03-04T05:06:07.000008",
        "chain_id": one.chain["chain_id"],
        "pipeline_id": one.chain["pipeline_id"],
        "model_class": "sklearn.linear_model.Ridge",
        "model_step_idx": 4,
        "preprocessings": one.chain["preprocessings"],
        "fold_strategy": "per_fold",
        "run_name": None,
        "dataset_hash": None,
        **origin,
    }
    assert {"python", "numpy", "joblib", "scikit-learn"} <= set(versions)
    with zipfile.ZipFile(path) as archive:
        assert {*files, "manifest.json"} == set(archive.namelist())
        for name, file in files.items():
            data = archive.read(name)
            assert file == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    for artifact_id, (known, data) in one.shelf.kept.items():
        row = rows.pop(artifact_id)
        assert row == {"file": row["file"]} | {key: known[key] for key in ("operator_class", "artifact_type", "format")}
        assert files[row["file"]] == {"sha256": known["content_hash"], "size": len(data)}
    assert not rows


def test_an_origin_nobody_knows_is_refused(one, tmp_path) -> None:
    with pytest.raises(InvalidInput, match="weather"):
        write(one.chain, one.shelf.read, tmp_path / "model", origin={"weather": "fine"})


def test_the_same_chain_gives_the_same_bytes(one, tmp_path) -> None:
    first, second = (write(one.chain, one.shelf.read, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second


def test_the_chain_of_a_bundle_is_the_one_of_the_store(one, bundle) -> None:
    kept = one.chain | {"created_at": "2025-03-04T05:06:07.000008"}
    assert Bundle.open(bundle).chain == kept
    assert list(Bundle.open(bundle).chain["fold_artifacts"]) == list(kept["fold_artifacts"])


@pytest.mark.parametrize(
    ("name", "form", "becomes"),
    [
        ("model", "n4a", "model.n4a"),
        ("model.v1", "n4a", "model.v1.n4a"),
        ("model.n4a", "n4a", "model.n4a"),
        ("model", "n4a.py", "model.n4a.py"),
        ("model.v1", "n4a.py", "model.v1.n4a.py"),
        ("model.n4a", "n4a.py", "model.n4a.py"),
        ("model.n4a.py", "n4a.py", "model.n4a.py"),
        ("model.py", "n4a.py", "model.py"),
        ("deep/er/model", "n4a", "deep/er/model.n4a"),
    ],
)
def test_the_suffix_is_added_where_it_is_missing(one, tmp_path, name, form, becomes) -> None:
    path = write(one.chain, one.shelf.read, tmp_path / name, form)
    assert path == tmp_path / becomes
    assert path.is_file()
    assert os.listdir(path.parent) == [path.name], "nothing beside it"


@pytest.mark.parametrize(("name", "form"), [("model", "onnx"), ("model", ""), ("model.n4a.py", "n4a")])
def test_another_format_is_refused(one, tmp_path, name, form) -> None:
    with pytest.raises(ValueError, match="format"):
        write(one.chain, one.shelf.read, tmp_path / "new" / name, form)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("form", ["n4a", "n4a.py"])
def test_a_lost_artefact_leaves_no_file(one, tmp_path, form) -> None:
    last = list(one.shelf.kept)[-1]

    def read(artifact_id: str) -> tuple[dict[str, Any], bytes]:
        if artifact_id == last:
            message = f"artefact {last} is gone"
            raise ArtifactLost(message, path="ab/cd.joblib", artifact_id=last)
        return one.shelf.read(artifact_id)

    with pytest.raises(FileNotFoundError, match=last):
        write(one.chain, read, tmp_path / "model", form)
    assert not os.listdir(tmp_path)


def test_a_damaged_artefact_leaves_the_former_file(one, bundle) -> None:
    def read(artifact_id: str) -> tuple[dict[str, Any], bytes]:
        said, data = one.shelf.read(artifact_id)
        return said, data[:-1] + bytes([data[-1] ^ 1])

    before = bundle.read_bytes()
    with pytest.raises(ArtifactDamaged):
        write(one.chain, read, bundle)
    assert bundle.read_bytes() == before
    assert os.listdir(bundle.parent) == [bundle.name]


def test_a_folder_in_its_place_is_not_replaced(one, tmp_path) -> None:
    (tmp_path / "model.n4a").mkdir()
    with pytest.raises(NotWritable):
        write(one.chain, one.shelf.read, tmp_path / "model")
    assert os.listdir(tmp_path) == ["model.n4a"]


def test_a_disk_without_room_leaves_nothing_and_says_so(tmp_path, python) -> None:
    code = """
        import resource, signal, sys
        from hmp_catalog.experiments.artifacts import serialised
        from hmp_catalog.experiments.bundles import write
        from hmp_core.errors import StorageError

        data = bytes(range(256)) * 400
        content = serialised(data, "pickle")
        said = {"format": "pickle", "content_hash": content.sha256}
        chain = {"steps": [], "fold_artifacts": {"fold_0": "a"}}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        for form in ("n4a", "n4a.py"):
            try:
                write(chain, lambda _: (said, content.data), sys.argv[1] + "/model", form)
            except StorageError as error:
                print(error)
    """
    said = python(code, tmp_path).splitlines()
    assert len(said) == 2
    assert all("could not be written" in line for line in said)
    assert not os.listdir(tmp_path)


# ── what is no bundle ────────────────────────────────────────────────────────────────────────────────


def test_a_bundle_that_is_not_there_is_not_found(tmp_path) -> None:
    with pytest.raises(PathNotFound, match=r"none\.n4a"):
        Bundle.open(tmp_path / "none.n4a")
    (tmp_path / "file").write_text("")
    with pytest.raises(PathNotFound):
        predict(tmp_path / "file" / "none.n4a", [[1.0]])


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04" * 100])
def test_what_is_no_bundle_is_refused(tmp_path, content) -> None:
    (tmp_path / "model.n4a").write_bytes(content)
    with pytest.raises(ArchiveInvalid):
        Bundle.open(tmp_path / "model.n4a")


def test_a_folder_is_no_bundle(tmp_path) -> None:
    with pytest.raises(ArchiveInvalid):
        Bundle.open(tmp_path)


def test_a_bundle_cut_short_anywhere_is_refused(bundle) -> None:
    whole = bundle.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 150)):
        bundle.write_bytes(whole[:size])
        with pytest.raises(ArchiveInvalid):
            Bundle.open(bundle)


def test_a_byte_changed_anywhere_in_an_artefact_is_noticed(bundle) -> None:
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        spans = [(one.header_offset + 30 + len(one.filename), one.file_size) for one in archive.infolist()]
    for start, size in spans:
        for at in (start, start + size // 2, start + size - 1):
            bundle.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ArchiveInvalid):
                Bundle.open(bundle)


def test_bytes_changed_anywhere_in_the_list_of_a_bundle_are_refused_or_without_effect(bundle) -> None:
    whole, known, rng = bundle.read_bytes(), Bundle.open(bundle), random.Random(5)
    start, refused = whole.index(b"PK\x01\x02"), 0
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            changed[rng.randrange(start, len(whole))] = rng.randrange(256)
        bundle.write_bytes(changed)
        try:
            found = Bundle.open(bundle)
        except ArchiveInvalid:
            refused += 1
        else:
            assert (found.manifest, found.chain) == (known.manifest, known.chain)
    assert refused > 200


def replaced(members: dict[str, bytes], data: bytes) -> None:
    members[artifacts(members)[0]] = data


def swapped(members: dict[str, bytes]) -> None:
    first, second = artifacts(members)[:2]
    members[first], members[second] = members[second], members[first]


def swapped_and_told(members: dict[str, bytes]) -> None:
    swapped(members)
    first, second = artifacts(members)[:2]

    def change(said: dict[str, Any]) -> None:
        said["files"][first], said["files"][second] = said["files"][second], said["files"][first]

    retell(members, change)


def chain_changed(members: dict[str, bytes]) -> None:
    members["chain.json"] = members["chain.json"].replace(b"fold_0", b"fold_9")


def chain_without(members: dict[str, bytes]) -> None:
    """Take an artefact away everywhere but in the chain."""
    gone = artifacts(members)[0]
    del members[gone]

    def change(said: dict[str, Any]) -> None:
        del said["files"][gone]
        said["artifacts"] = {key: row for key, row in said["artifacts"].items() if row["file"] != gone}

    retell(members, change)


def listed(name: str) -> Change:
    """Add a member under a name that leads elsewhere, and list it."""

    def change(members: dict[str, bytes]) -> None:
        members[name] = b"x"
        file = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1}
        retell(members, lambda said: said["files"].update({name: file}))

    return change


def told(**changed: Any) -> Change:
    return lambda members: retell(members, lambda said: said.update(changed))


@pytest.mark.parametrize(
    "change",
    [
        swapped,
        swapped_and_told,
        chain_changed,
        chain_without,
        lambda members: members.pop("manifest.json"),
        lambda members: members.pop("chain.json"),
        lambda members: members.pop(artifacts(members)[0]),
        lambda members: members.update({"artifacts/more.joblib": b""}),
        lambda members: members.update({"../../evil.py": b"x"}),
        lambda members: members.update({"manifest.json": b"[]"}),
        lambda members: members.update({"manifest.json": b"{"}),
        lambda members: members.update({"manifest.json": b"[" * 100_000}),
        listed("../../evil.joblib"),
        listed("/etc/evil.joblib"),
        listed("artifacts/../../evil.joblib"),
        listed(f"artifacts/{'0' * 64}.joblib"),
        listed("artifacts/"),
        told(files=[]),
        told(files={"chain.json": {"sha256": 1, "size": "2"}}),
        told(artifacts={}),
        told(versions="1"),
        told(artifacts={"a": {"file": "chain.json", "format": "joblib"}}),
        told(bundle_format_version=None),
        told(bundle_format_version="one"),
        told(bundle_format_version="٢.0"),
    ],
)
def test_a_bundle_that_is_not_what_its_manifest_says_is_refused(bundle, change) -> None:
    rewrite(bundle, change)
    with pytest.raises(ArchiveInvalid):
        Bundle.open(bundle)


def test_nothing_of_a_bundle_with_a_replaced_artefact_is_unpickled(one, bundle, tmp_path) -> None:
    trap = tmp_path / "trap"
    rewrite(bundle, lambda members: replaced(members, pickle.dumps(Trap(trap))))
    with pytest.raises(ArchiveInvalid, match="other bytes"):
        predict(bundle, one.asked)
    assert not trap.exists()


def test_an_artefact_replaced_after_the_bundle_was_opened_is_not_unpickled(one, bundle, tmp_path) -> None:
    opened, trap = Bundle.open(bundle), tmp_path / "trap"
    rewrite(bundle, lambda members: [members.update({name: pickle.dumps(Trap(trap))}) for name in artifacts(members)])
    with pytest.raises(ArchiveInvalid, match="since it was opened"):
        opened.predict(one.asked)
    assert not trap.exists()


def test_compressed_members_which_may_grow_are_refused(bundle) -> None:
    rewrite(bundle, lambda members: members.update({"chain.json": b" " * 1_000_000}), zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveInvalid, match="compressed"):
        Bundle.open(bundle)


def test_a_member_that_claims_to_be_greater_than_the_file_is_refused(bundle) -> None:
    whole = bytearray(bundle.read_bytes())
    at = whole.rindex(b"PK\x01\x02")
    whole[at + 20 : at + 28] = struct.pack("<II", 0x70000000, 0x70000000)
    bundle.write_bytes(whole)
    with pytest.raises(ArchiveInvalid, match="greater than the file"):
        Bundle.open(bundle)


def test_two_members_of_one_name_are_refused(bundle) -> None:
    with zipfile.ZipFile(bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("chain.json", b"{}")
    with pytest.raises(ArchiveInvalid, match="one name"):
        Bundle.open(bundle)


@pytest.mark.parametrize("version", ["1.1", "2.0", "10.0"])
def test_a_bundle_of_a_newer_hmp_asks_for_an_upgrade(bundle, version) -> None:
    rewrite(bundle, told(bundle_format_version=version))
    with pytest.raises(SchemaTooNewError, match=f"format {version}.*upgrade hmp"):
        Bundle.open(bundle)


def test_an_estimator_whose_package_is_missing_is_named_with_those_of_its_export(tmp_path) -> None:
    shelf = Shelf()
    artifact_id = shelf.put(np.float64(1.0), "model", "pickle")
    gone = b"\x80\x05\x8c\x0bno_such_pkgq\x00\x8c\x01A\x93."
    shelf.kept[artifact_id] = {**shelf.kept[artifact_id][0], "content_hash": hashlib.sha256(gone).hexdigest()}, gone
    chain = {
        "steps": [{"step_idx": 1, "operator_class": "no_such_pkg.A", "stateless": False}],
        "model_step_idx": 1,
        "fold_artifacts": {"fold_0": artifact_id},
    }
    path = write(chain, shelf.read, tmp_path / "model")
    with pytest.raises(MissingPart, match=r"no_such_pkg.*exported with python 3\.") as raised:
        predict(path, [[1.0]])
    assert raised.value.install == "no_such_pkg"


def test_what_is_refused_is_an_error_of_hmp_that_names_the_file(bundle) -> None:
    bundle.write_bytes(base64.b64decode("AAAA"))
    with pytest.raises(HmpError) as raised:
        Bundle.open(bundle)
    assert str(bundle) in str(raised.value)
    assert raised.value.exit_code == 22
