"""`layerkit draw` as a command: which files it writes, and what it says when it cannot."""

import struct
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

import layerkit as lk

SVG = "{http://www.w3.org/2000/svg}"


def test_the_suffix_says_the_kind(command, folder):
    starts = {"svg": b"<svg", "png": b"\x89PNG", "html": b"<!DOCTYPE html>", "dot": b"digraph"}
    for kind, start in starts.items():
        assert command("draw", "configs/mlp.yaml", "-o", f"net.{kind}") == (0, "", f"wrote net.{kind}\n")
        assert (folder / f"net.{kind}").read_bytes().startswith(start)
    width, height = struct.unpack(">II", (folder / "net.png").read_bytes()[16:24])
    root = ElementTree.parse(folder / "net.svg").getroot()
    assert (width, height) == pytest.approx((2 * float(root.get("width")), 2 * float(root.get("height"))), abs=2)


def test_without_a_path_svg_goes_to_a_pipe_but_not_to_a_terminal(command, monkeypatch):
    answer = command("draw", "configs/mlp.yaml", "--phase", "test", "--set", "name=other", "--direction", "TB")
    root = ElementTree.fromstring(answer.out)
    assert root.find("{*}title").text.startswith("other (test:")
    assert {group.get("data-name") for group in root.iter(f"{SVG}g")} >= {"fc2", "accuracy"}
    monkeypatch.setattr("layerkit.cli.draw.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    answer = command("draw", "configs/mlp.yaml")
    assert answer == (2, "", "a terminal shows no picture; name a file, as in: -o net.svg\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("configs/mlp.yaml", "-o", "net.gif"), "a picture's file ends in .svg, .png, .html or .dot, not in '.gif'"),
        (("configs/mlp.yaml", "-o", "net"), "ends in .svg, .png, .html or .dot\n"),
        (("configs/mlp.yaml", "-o", "no/net.svg"), "cannot write 'no/net.svg': there is no folder"),
        (("configs/mlp.yaml", "-o", "net.svg", "--phase", "tset"), "did you mean 'test'?"),
        (("configs/mlp.yaml", "-o", "net.svg", "--direction", "RL"), "RL"),
        (("none.yaml", "-o", "net.svg"), "none.yaml"),
        (("none.safetensors", "-o", "net.svg"), "there is no file"),
    ],
)
def test_what_is_wrong_is_one_sentence(command, folder, arguments, said):
    answer = command("draw", *arguments)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err
    assert not list(folder.glob("net*"))


def test_a_snapshot_is_drawn_as_the_net_that_it_holds(command, folder):
    solver = lk.Solver("configs/segmentation.yaml")
    solver.snapshot("seg")
    assert command("draw", "seg.safetensors", "-o", "net.svg").status == 0
    names = {group.get("data-name") for group in ElementTree.parse(folder / "net.svg").getroot().iter(f"{SVG}g")}
    assert names >= {"shapes", "down1", "up1", "score"}  # folded by name: a snapshot has no blocks
    assert (
        "holds the net of phase predict only, not of train"
        in command("draw", "seg.safetensors", "--phase", "train").err
    )
    assert "--set changes a YAML file's values" in command("draw", "seg.safetensors", "--set", "name=x").err
    assert "state" in command("draw", "seg.state.safetensors").err


def test_png_says_what_it_lacks(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=lambda **_: b"blank"))
    assert "needs a font, and this machine has none" in command("draw", "configs/mlp.yaml", "-o", "net.png").err
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    said = "drawing PNG needs the package resvg-py, which is not installed: pip install 'layerkit[plot]'\n"
    assert command("draw", "configs/mlp.yaml", "-o", "net.png") == (2, "", said)
