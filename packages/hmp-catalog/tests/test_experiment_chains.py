"""The record of a chain: what is kept of the arguments of save_chain, and what is refused before it is written."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

from hmp_catalog.experiments.chains import artifacts_of, checked
from hmp_core.errors import InvalidInput


def step(idx, operator="m.T", **more):
    return {
        "step_idx": idx,
        "operator_class": operator,
        "params": None,
        "artifact_id": None,
        "stateless": False,
        **more,
    }


def said(**changed):
    return {
        "steps": [step(1), step(2, "m.PLS")],
        "model_step_idx": 2,
        "model_class": "m.PLS",
        "preprocessings": "T",
        "fold_strategy": "per_fold",
        "fold_artifacts": {"fold_0": "m0", "fold_1": "m1"},
        "shared_artifacts": {"1": "a"},
        **changed,
    }


def test_a_chain_is_kept_as_it_was_said():
    given = said(branch_path=[0, 1], source_index=0)
    assert checked(**given) == given
    assert json.loads(json.dumps(checked(**given))) == given


def test_what_was_said_is_not_modified_and_not_shared():
    params = {"n": [1]}
    given = said(steps=[step(1, params=params), step(2)])
    found = checked(**given)
    params["n"].append(2)
    assert found["steps"][0]["params"] == {"n": [1]}
    assert found["branch_path"] is found["source_index"] is None


def test_numbers_of_numpy_tuples_and_keys_that_are_numbers_become_what_json_keeps():
    found = checked(
        **said(
            steps=(step(np.int64(1), params={"a": np.float32(0.5), "b": (1, 2)}), step(2)),
            model_step_idx=np.int32(2),
            fold_artifacts={0: "m"},
            shared_artifacts={1: ("a", "b")},
            branch_path=np.array([0, 2]),
            source_index=np.int8(0),
        )
    )
    assert found["steps"][0] == step(1, params={"a": 0.5, "b": [1, 2]})
    assert (found["fold_artifacts"], found["shared_artifacts"]) == ({"0": "m"}, {"1": ["a", "b"]})
    assert (found["branch_path"], found["source_index"], found["model_step_idx"]) == ([0, 2], 0, 2)
    json.dumps(found)


def test_an_id_may_be_a_uuid():
    identity = uuid.uuid4()
    assert str(identity) in artifacts_of(checked(**said(fold_artifacts={"fold_0": identity})))


def test_all_artefacts_are_found_each_once():
    by_source = {"1": {"0": ["a", "b"], "1": "c"}}
    chain = checked(
        **said(
            steps=[step(1, artifact_ids=["a", "d"]), step(2), step(3, artifact_id="e")],
            model_step_idx=3,
            fold_artifacts={"fold_0": "m0", "fold_1": "m1", "fold_final": "m0"},
            shared_artifacts={"1": ["a", "b", "c", "d"], "2": "f", "_source_map": {"2": {"0": "f"}}},
        )
    )
    assert sorted(artifacts_of(chain)) == ["a", "b", "c", "d", "e", "f", "m0", "m1"]
    assert sorted(artifacts_of({"shared_artifacts": {"_source_map": by_source}})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "broken",
    [
        {"fold_artifacts": ["m"]},
        {"shared_artifacts": "a"},
        {"shared_artifacts": {"_source_map": [1]}},
        {"shared_artifacts": {"_source_map": {"1": "a"}}},
        {"steps": ["a"]},
        {"steps": [{"artifact_id": 5}]},
        {"fold_artifacts": {"fold_0": {}}},
    ],
)
def test_a_record_that_is_no_chain_names_no_artefacts(broken):
    with pytest.raises(InvalidInput):
        artifacts_of(broken)


@pytest.mark.parametrize("empty", [{}, {"steps": None, "fold_artifacts": None, "shared_artifacts": None}])
def test_a_chain_without_artefacts_names_none(empty):
    assert artifacts_of(empty) == []


def test_a_model_without_artefacts_may_be_kept():
    found = checked(**said(fold_artifacts={}))
    assert found["fold_artifacts"] == {}
    assert checked(**said(fold_artifacts=None, shared_artifacts=None, preprocessings=""))["shared_artifacts"] == {}


def test_a_chain_of_which_no_steps_are_known_may_be_kept():
    assert artifacts_of(checked(**said(steps=[], fold_artifacts={"fold_0": "m"}, shared_artifacts={}))) == ["m"]


def test_a_fold_may_have_a_list_of_one_model_and_no_more():
    assert artifacts_of(checked(**said(fold_artifacts={"0": ["m"], "1": "n"}, shared_artifacts={}))) == ["m", "n"]
    with pytest.raises(InvalidInput, match="expected the id of an artefact"):
        checked(**said(fold_artifacts={"0": ["m", "n"]}, shared_artifacts={}))


@pytest.mark.parametrize("strategy", ["per_fold", "shared"])
def test_a_model_may_be_shared(strategy):
    for more in ({"shared_artifacts": {"1": "a", "2": "m"}}, {"steps": [step(1), step(2, artifact_id="m")]}):
        found = checked(**said(fold_strategy=strategy, fold_artifacts={}, **more))
        assert "m" in artifacts_of(found)


REFUSED = {
    "steps are text": {"steps": "ab"},
    "steps are None": {"steps": None},
    "artefacts of no steps": {"steps": [], "shared_artifacts": {"1": "a"}},
    "too many steps": {"steps": [step(1)] * 10_001},
    "a step is text": {"steps": ["T", step(2)]},
    "no index": {"steps": [{"operator_class": "T"}, step(2)]},
    "index is text": {"steps": [step("1"), step(2)]},
    "index is true": {"steps": [step(True), step(2)]},
    "index is half": {"steps": [step(1.5), step(2)]},
    "index is negative": {"steps": [step(-1), step(2)]},
    "index is huge": {"steps": [step(10**6000), step(2)]},
    "no operator": {"steps": [{"step_idx": 1}, step(2)]},
    "operator is a class": {"steps": [step(1, dict), step(2)]},
    "a lambda": {"steps": [step(1, params={"f": lambda: 0}), step(2)]},
    "an id is a number": {"steps": [step(1, artifact_id=5), step(2)]},
    "no model": {"model_step_idx": 3},
    "model is None": {"model_step_idx": None},
    "model is beyond the column": {"steps": [step(2**31)], "model_step_idx": 2**31, "shared_artifacts": {}},
    "model in another branch": {"steps": [step(1), step(2, branch_path=[1])], "branch_path": [0]},
    "class is None": {"model_class": None},
    "class is empty": {"model_class": ""},
    "label is None": {"preprocessings": None},
    "another strategy": {"fold_strategy": "all"},
    "strategy is a list": {"fold_strategy": ["per_fold"]},
    "folds are a list": {"fold_artifacts": ["m"]},
    "a fold is None": {"fold_artifacts": {"fold_0": None}},
    "folds are the same as text": {"fold_artifacts": {1: "m", "1": "n"}},
    "a shared id is empty": {"shared_artifacts": {"1": ""}},
    "a shared id is a mapping": {"shared_artifacts": {"1": {"a": "b"}}},
    "shared of no step": {"shared_artifacts": {"7": "a"}},
    "sources are a list": {"shared_artifacts": {"_source_map": ["a"]}},
    "a source is a list": {"shared_artifacts": {"_source_map": {"1": ["a"]}}},
    "a source is no number": {"shared_artifacts": {"_source_map": {"1": {"x": "a"}}}},
    "an artefact of no source": {"shared_artifacts": {"1": "b", "_source_map": {"1": {"0": "a"}}}},
    "branch is text": {"branch_path": "01"},
    "branch is a number": {"branch_path": 0},
    "branch is half": {"branch_path": [0.5]},
    "source is text": {"source_index": "0"},
    "source is negative": {"source_index": -1},
}


@pytest.mark.parametrize("changed", REFUSED.values(), ids=REFUSED)
def test_what_is_no_chain_is_refused(changed):
    with pytest.raises(InvalidInput) as refused:
        checked(**said(**changed))
    assert 10 < len(str(refused.value)) < 500


def test_a_cyclic_step_is_refused():
    around = step(1)
    around["params"] = around
    with pytest.raises(InvalidInput, match="refers to itself"):
        checked(**said(steps=[around, step(2)]))


def test_every_argument_of_the_seed_is_taken_by_name_and_no_other():
    with pytest.raises(TypeError):
        checked(**said(pipeline_id="p"))
