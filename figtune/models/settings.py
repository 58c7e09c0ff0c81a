"""Settings of the base model and of what is trained in it; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.core.settings import check_setting
from figtune.models.records import AdapterRecord, Dtype, ImageFit, ModelRecord


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The base model and how it reads an example."""

    name: str
    """Hub id, a local folder in the Hub's layout, or "tiny-gemma3": built on the spot, for demos and tests."""
    revision: str | None
    """Branch, tag or commit of the Hub repository."""
    dtype: Dtype
    """dtype of the frozen base weights. "auto": bfloat16 if the device supports it, else 4-bit weights with float32
    compute. Trained weights are always float32."""
    image_fit: ImageFit
    """Way in which a figure becomes the square that the vision encoder sees: with other proportions, as the base models
    were trained, or "letterbox", with white borders."""
    image_tokens: int
    """Most tokens that an image takes, in models that have the choice: 70, 140, 280, 560 or 1120 for Gemma 4. More show
    finer print and cost memory and time. 0 is the base model's own number (280 for Gemma 4)."""
    tiles: int
    """Gemma 3 reads a wide or tall figure as at most this many tiles beside the whole, each as large as a whole figure
    (pan and scan); 0 for none, or 2 or more."""
    max_length: int
    """Text tokens of prompt and completion together; image tokens are not counted."""

    def __post_init__(self) -> None:
        check_setting(bool(self.name.strip()), "model.name", "a Hub id or a folder")
        check_setting(self.image_tokens >= 0, "model.image_tokens", "0 or more")
        check_setting(self.tiles == 0 or self.tiles >= 2, "model.tiles", "0, or 2 or more")
        check_setting(self.max_length >= 16, "model.max_length", "16 or more")

    def record(
        self, adapter: AdapterRecord, *, base: str, commit: str | None, family: str, tiny: bool = False
    ) -> ModelRecord:
        """Return the record of the model set up with these settings."""
        return ModelRecord(
            name=self.name,
            base=base,
            commit=commit,
            family=family,
            tiny=tiny,
            dtype=self.dtype,
            image_fit=self.image_fit,
            image_tokens=self.image_tokens,
            tiles=self.tiles,
            max_length=self.max_length,
            adapter=adapter,
        )


@dataclass(frozen=True, kw_only=True)
class AdapterSettings(AdapterRecord):
    """Parameter-efficient fine-tuning: which weights are trained."""

    def __post_init__(self) -> None:
        check_setting(self.rank >= 1, "adapter.rank", "1 or more")
        check_setting(self.alpha >= 1, "adapter.alpha", "1 or more")
        check_setting(0 <= self.dropout < 1, "adapter.dropout", "from 0 to below 1")
        check_setting(len(self.targets) > 0, "adapter.targets", "at least one name")


@dataclass(frozen=True, kw_only=True)
class SetupSettings:
    """Settings that setup reads."""

    model: ModelSettings
    adapter: AdapterSettings
    seed: int
    """Seed of the adapter's first weights."""
