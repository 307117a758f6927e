"""What a classifier can be built of."""

import pytest
from conftest import FROG

import zeroshot_client
from zeroshot_client import ClassDefinition, Spec


def test_templates_are_a_set_a_template_several_or_functions():
    def prompts(*templates):
        return [list(item.prompts) for item in Spec.of(["cat"], *templates).request.classes]

    assert Spec.of(["cat"], "openai-imagenet-7").request.template_set == "openai-imagenet-7"
    assert Spec.of(["cat"], "a {}.").request.templates == ["a {}."]
    assert Spec.of(["cat"], ["a {}.", "the {}."]).request.templates == ["a {}.", "the {}."]
    assert prompts([lambda name: f"a {name.upper()}.", "the {}."]) == [["a CAT.", "the cat."]]
    assert prompts(lambda name: f"a {name}.") == [["a cat."]]


def test_classes_are_names_definitions_prompts_or_a_set():
    assert Spec.of("imagenet-1k").request.class_set == "imagenet-1k"
    assert Spec.of({"frog": ["a green animal"]}).request.classes[0].prompts == ["a green animal"]
    request = Spec.of(
        ["cat", ClassDefinition("dog", prompts=["a dog"], min_probability=0.5, group="pet")],
        background=["sofa"], temperature=2, name="pets").request
    assert [item.name for item in request.classes] == ["cat", "dog"]
    assert (request.classes[1].min_probability, request.classes[1].group) == (0.5, "pet")
    assert not request.classes[0].HasField("min_probability")
    assert (list(request.background), request.temperature, request.display_name) == (["sofa"], 2, "pets")


def test_a_spec_goes_to_a_file_and_back(tmp_path):
    spec = Spec.of(["cat", "dog"], ["a {}."], background=["sofa"], temperature=1.5)
    path = tmp_path / "spec.json"
    path.write_text(spec.to_json())
    assert Spec.from_file(path).request == spec.request
    assert Spec.from_json('{"frog": ["a green animal"], "car": ["a machine"]}').class_names == ["frog", "car"]
    assert Spec.from_json('{"classes": []}').class_names == []


@pytest.mark.parametrize("text", ["[]", "3", "{", '{"clases": []}', '{"frog": [1]}'])
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no spec"):
        Spec.from_json(text)


def test_a_text_where_a_list_belongs_is_refused():
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="list of texts"):
        Spec.of({"frog": "a green animal"})
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="list of texts"):
        Spec.of([ClassDefinition("frog", prompts="a green animal")])
    with pytest.raises(TypeError, match="type int"):
        Spec.of([3])


def test_templates_that_cannot_be_meant_are_refused(client):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no template"):
        Spec.of(["cat"], [])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="functions"):
        Spec.of("cifar10", [str])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="of its own"):
        client.build(Spec.of(["cat"]), "a {}.")
    with pytest.raises(zeroshot_client.InvalidArgumentError) as raised:
        client.build(["cat"], "no-such-set")
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == "template_set"


def test_one_spec_is_one_weight_set_however_it_is_said(client):
    ids = {client.build(*what).weight_set_id for what in (
        (["frog", "car"], "a {}."), (Spec.of(["frog", "car"], ["a {}."]),))}
    assert len(ids) == 1
    assert client.build("cifar10").built.num_classes == 10


def test_functions_of_names_make_the_same_vectors(client):
    by_text = client.build(["frog", "car"], ["a photo of a {}."])
    by_function = client.build(["frog", "car"], [lambda name: f"a photo of a {name}."])
    assert (by_text.weights == by_function.weights).all()
    assert by_function(FROG).top.class_name == "frog"
