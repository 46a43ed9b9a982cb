"""The contract of a dialect (`klever.artifacts.dialect`); each dialect's test inherits it and gives `dialect`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from klever.artifacts import model
from klever.artifacts.dialect import Dialect
from klever.artifacts.dialects import DIALECTS
from klever.artifacts.metadata import GitSource, ModelMetadata
from klever.errors import IntegrityError, InvalidError
from klever.formats import Details, LanguageModel, Signature, Tensor
from klever.limits import Limits
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import no_progress
from klever.oci.reference import Reference

SIGNATURE = Signature(
    (Tensor("x", (-1, 3), "float32"), Tensor("s", (), "int64")),
    (Tensor("y", None, "int64"),),
    {"Add": 1},
    Details(
        format_version="3",
        producer="llama.cpp",
        parameters=0,
        parameter_bytes=1 << 40,
        memory_bytes=1 << 41,
        classes=("cat", ""),
        language_model=LanguageModel("llama", "Q4_K_M", 8192, "{% for m in messages %}\n{% endfor %}"),
        warnings=("the tokenizer is missing",),
    ),
)
METADATA = ModelMetadata(
    author="me",
    created="2024-05-01T12:00:00Z",
    description="adds",
    tags=("demo",),
    labels={"a": "1", "empty": ""},
    format="Others",
    gpu_type="T4",
    framework="None",
    metrics=(("accuracy", "0.90"),),
    hyper_parameters=(("rate", "1e-3"),),
    signature=SIGNATURE,
    training=GitSource("git@x:y.git", "22f1d84"),
    dataset=GitSource("git@x:z.git"),
)
FILES = {"model/a.bin": b"first" * 1000, "model/sub/b.bin": b"second" * 1000}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def read(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in (directory / "model").rglob("*") if p.is_file()}


class DialectContract:
    @pytest.fixture
    def dialect(self) -> Dialect:
        raise NotImplementedError

    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        return Layout(tmp_path / "layout")

    @pytest.fixture
    def built(self, dialect: Dialect, layout: Layout, tmp_path: Path) -> Manifest:
        return dialect.build(write(tmp_path / "in", FILES), METADATA, layout, no_progress)

    def test_it_recognises_what_it_builds_and_nothing_else(self, dialect: Dialect, built: Manifest) -> None:
        assert dialect.detect(Manifest.parse(built.encode()))
        assert built.config.media_type in dialect.config_media_types
        assert not dialect.detect(Manifest(Descriptor.of(mediatypes.IMAGE_CONFIG, b"{}"), built.layers))

    def test_all_metadata_comes_back(self, dialect: Dialect, built: Manifest, layout: Layout) -> None:
        assert dialect.decode(dialect.encode(METADATA)) == METADATA
        assert replace(dialect.read_metadata(built, layout), files=()) == METADATA
        assert dialect.decode(dialect.encode(ModelMetadata())) == ModelMetadata()

    def test_keeps_fields_beyond_the_metadata(self, dialect: Dialect) -> None:
        config = json.dumps({**json.loads(dialect.encode(METADATA)), "later": {"added": 1}}, indent=1).encode()
        assert dialect.encode(dialect.decode(config), config) == config
        changed = dialect.encode(replace(METADATA, author="you", signature=None), config)
        assert json.loads(changed)["later"] == {"added": 1}
        assert dialect.decode(changed) == replace(METADATA, author="you", signature=None)

    @pytest.mark.parametrize("config", [b"", b"[]", b"{"])
    def test_a_damaged_config_is_refused(self, dialect: Dialect, config: bytes) -> None:
        with pytest.raises(InvalidError):
            dialect.decode(config)

    def test_the_files_come_back(self, dialect: Dialect, built: Manifest, layout: Layout, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        assert sorted(dialect.unpack(built, layout, tmp_path / "out", Limits())) == sorted(FILES)
        assert read(tmp_path / "out") == FILES

    def test_equal_input_builds_an_equal_manifest(
        self, dialect: Dialect, built: Manifest, layout: Layout, tmp_path: Path
    ) -> None:
        again = dialect.build(write(tmp_path / "again", FILES), METADATA, layout, no_progress)
        assert again.encode() == built.encode()

    def test_the_identity_is_of_the_content_alone(
        self, dialect: Dialect, built: Manifest, layout: Layout, tmp_path: Path
    ) -> None:
        renamed = dialect.with_metadata(built, replace(METADATA, author="you"), layout)
        assert renamed != built
        assert (renamed.layers, renamed.annotations) == (built.layers, built.annotations)
        assert dialect.content(renamed) == dialect.content(built)
        for number, name in enumerate(FILES):
            other = write(tmp_path / f"other{number}", FILES | {name: b"changed"})
            assert dialect.content(dialect.build(other, METADATA, layout, no_progress)) != dialect.content(built)

    def test_a_changed_layer_is_found(self, dialect: Dialect, built: Manifest, layout: Layout, tmp_path: Path) -> None:
        path = layout.blob_path(dialect.content_layers(built)[-1].digest)
        path.write_bytes(path.read_bytes()[:4] + b"\1" + path.read_bytes()[5:])
        (tmp_path / "out").mkdir()
        with pytest.raises(IntegrityError):
            dialect.unpack(built, layout, tmp_path / "out", Limits())

    def test_an_artifact_without_layers_is_refused(self, dialect: Dialect, built: Manifest) -> None:
        with pytest.raises(InvalidError):
            dialect.content(replace(built, layers=()))

    def test_the_table_row_is_all_that_the_commands_need(
        self, dialect: Dialect, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("klever.artifacts.dialects.DIALECTS", {**DIALECTS, dialect.name: dialect})
        name = Reference.parse("team/m:v1")
        write(tmp_path / "in", FILES)
        (tmp_path / "in" / "ormbfile.yaml").write_text("format: Others\nauthor: me\n")
        saved = model.save(tmp_path / "in", name, layout, created=datetime.now(UTC), dialect=dialect)
        assert model.inspect(name, layout) == saved
        changed = model.rewrite(name, layout, replace(saved.metadata, signature=SIGNATURE))
        assert (changed.digest, changed.metadata.signature) == (saved.digest, SIGNATURE)
        assert [found.format for found in model.models(layout)] == ["Others"]
        assert model.export(name, layout, tmp_path / "out") == changed
        assert read(tmp_path / "out") == FILES
