"""The weights of ``keras.applications``: in Keras' cache, downloaded into it, or out of reach."""

import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.events import Event, Progress
from searchcnn.keras_private import replace_get_file
from searchcnn.weights import downloads as places
from searchcnn.weights import is_cached, is_online, watch_downloads

start_keras()

import keras  # noqa: E402
from keras.src.applications import mobilenet, mobilenet_v3  # noqa: E402
from keras.src.utils import file_utils  # noqa: E402

from searchcnn.backbones import Backbone  # noqa: E402

NAME = "MobileNet(alpha=0.25)"
FILE = "mobilenet_2_5_224_tf_no_top.h5"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns Keras' empty folder."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "keras"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Returns the folder of a server that stands for Keras' one."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/"
        for module in (mobilenet, mobilenet_v3):
            monkeypatch.setattr(module, "BASE_WEIGHT_PATH", url)
        yield folder
        running.shutdown()


def save(path: Path, make: Callable[..., Any] = keras.applications.MobileNet, **arguments: Any) -> Any:
    """Saves a random network in the form of Keras 2, which is that of Keras' own weights."""
    network = make(include_top=False, weights=None, input_shape=(32, 32, 3), **arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return network


def same(backbone: Backbone, network: Any) -> bool:
    pairs = zip(backbone.network.get_weights(), network.get_weights(), strict=True)
    return all(np.array_equal(mine, its) for mine, its in pairs)


def test_keras_gets_its_weights_under_the_names_that_we_replace(tmp_path: Path) -> None:
    """Fails when a release of Keras takes a private name away, or calls it in another way."""
    asked: list[dict[str, Any]] = []

    def get_file(*arguments: Any, **options: Any) -> str:
        asked.append(inspect.signature(original).bind(*arguments, **options).arguments)
        inspect.signature(places.get).bind(*arguments, **options)
        raise FileNotFoundError

    original = file_utils.get_file
    for make in (keras.applications.MobileNet, keras.applications.MobileNetV3Small, keras.applications.ResNet50):
        with pytest.raises(FileNotFoundError), replace_get_file(get_file):
            make(include_top=False, input_shape=(224, 224, 3))
    assert file_utils.get_file is original
    assert [set(options) >= {"fname", "origin", "cache_subdir"} for options in asked] == [True] * 3
    assert ["file_hash" in options for options in asked] == [False, True, True]
    assert {options["cache_subdir"] for options in asked} == {"models"}
    for options in asked:
        assert options["origin"].startswith(places.HOST)
        assert options["origin"].endswith(options["fname"])


def test_a_download_and_what_is_said_of_it(home: Path, served: Path) -> None:
    network = save(served / FILE, alpha=0.25)
    heard: list[Event] = []
    assert not is_cached(NAME)
    with watch_downloads(heard.append):
        backbone = Backbone.load(NAME, 32, "imagenet")
    assert same(backbone, network)
    assert heard[-1] == Progress(f"downloading {FILE}", 1.0)
    assert (home / "models" / FILE).read_bytes() == (served / FILE).read_bytes()
    assert is_cached(NAME)
    (served / FILE).unlink()
    assert same(Backbone.load(NAME, 32, "imagenet"), network)


def test_the_hash_decides(home: Path, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is damaged in the cache is downloaded; what is damaged on the server is refused and not kept."""
    file = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    network = save(served / file, keras.applications.MobileNetV3Small)
    digest = hashlib.md5((served / file).read_bytes()).hexdigest()
    monkeypatch.setitem(mobilenet_v3.WEIGHTS_HASHES, "small_224_1.0_float", ("", digest))
    (home / "models").mkdir(parents=True)
    (home / "models" / file).write_text("damaged")
    assert not is_cached("MobileNetV3Small")
    assert same(Backbone.load("MobileNetV3Small", 32, "imagenet"), network)
    assert is_cached("MobileNetV3Small")

    (home / "models" / file).unlink()
    (served / file).write_text("damaged")
    with pytest.raises(
        PluginError, match=f"what came is damaged, or another file; expected one whose hash is {digest}"
    ):
        Backbone.load("MobileNetV3Small", 32, "imagenet")
    assert list((home / "models").iterdir()) == []


def test_a_file_that_the_server_does_not_have(home: Path, served: Path) -> None:
    with pytest.raises(PluginError) as raised:
        Backbone.load(NAME, 32, "imagenet")
    message, folder = str(raised.value), home / "models"
    assert message.startswith(
        f"backbone '{NAME}': {FILE} is not in {folder}, and its download failed: http://127.0.0.1:"
    )
    assert "404 File not found" in message
    assert f"; put {FILE} into {folder}, or give the path of a weights file made for this network without" in message
    assert message.endswith("or use EfficientNetLite0, which comes with searchcnn")
    assert "\n" not in message


def test_offline_is_found_out_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobilenet, "BASE_WEIGHT_PATH", "https://nowhere.invalid/")
    start = time.monotonic()
    with pytest.raises(PluginError, match=r"download failed: (no answer from )?https://nowhere.invalid/mobilenet"):
        Backbone.load(NAME, 32, "imagenet")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("is_answered", [True, False])
def test_who_is_online(served: Path, monkeypatch: pytest.MonkeyPatch, is_answered: bool) -> None:
    monkeypatch.setattr(places, "HOST", mobilenet.BASE_WEIGHT_PATH if is_answered else "https://nowhere.invalid")
    start = time.monotonic()
    assert is_online(1.0) == is_answered
    assert time.monotonic() - start < 2


def test_a_folder_that_cannot_be_written(home: Path, served: Path, tmp_path: Path) -> None:
    """The file goes where Keras puts it then."""
    save(served / FILE, alpha=0.25)
    home.write_text("not a folder, which stops root, too")
    Backbone.load(NAME, 32, "imagenet")
    assert (tmp_path / ".keras" / "models" / FILE).is_file()
    assert is_cached(NAME)


def test_weights_of_one_s_own_are_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "check_answer", None)
    network = save(tmp_path / "own.h5", alpha=0.25)
    assert same(Backbone.load(NAME, 32, str(tmp_path / "own.h5")), network)


def test_what_is_cached(home: Path) -> None:
    assert is_cached("EfficientNetLite0")
    assert not is_cached("ResNet50")
    (home / "models").mkdir(parents=True)
    (home / "models" / "mobilenet_1_0_128_tf_no_top.h5").touch()
    assert is_cached("MobileNet", 128)
    assert not is_cached("MobileNet")
    with pytest.raises(PluginError, match="did you mean 'ResNet50'"):
        is_cached("ResNet5")
