"""Reads a Hugging Face `config.json` into model facts. What is not understood is told, never guessed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recommender.models.families import FAMILIES, Family, Window
from recommender.models.fields import ConfigProblem, Fields
from recommender.models.parameters import Parameters, count_parameters
from recommender.models.precision import activation_dtype, checkpoint_dtype, quantized_kv_dtype
from recommender.sizing.model_facts import Attention, ModelFacts

_MAX_BYTES = 1 << 20  # real ones have a few thousand
_NESTED = {"gemma3": "gemma3_text"}  # models with images as well: the text part, and what its type is when not told

_OF_THE_WHOLE = ("torch_dtype", "dtype", "quantization_config", "vision_config")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a configuration gives no facts, for people."""

    reason: str


def read_config_file(path: Path) -> ModelFacts | Unreadable:
    """The facts in a `config.json`; a file that is missing, too large or no JSON object is Unreadable."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path that no file can have
        return Unreadable(f"{path} cannot be read: {getattr(exc, 'strerror', None) or exc}")
    if len(raw) > _MAX_BYTES:
        return Unreadable(f"{path} has more than {_MAX_BYTES} bytes: it is no model configuration")
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError):
        return Unreadable(f"{path} is no JSON")
    if not isinstance(config, dict):
        return Unreadable(f"{path} is no JSON object")
    return read_config(config, name=path.parent.name or path.name, source=str(path))


def read_config(config: Mapping[str, object], *, name: str, source: str) -> ModelFacts | Unreadable:
    """The facts in a configuration; `name` and `source` are for people."""
    try:
        return _facts(config, name, source)
    except ConfigProblem as exc:
        return Unreadable(f"{source}: {exc}")
    except ValueError as exc:  # figures that contradict each other, as ModelFacts finds them
        return Unreadable(f"{source}: {exc}")


def _facts(config: Mapping[str, object], name: str, source: str) -> ModelFacts:
    fields, family, kind = _text_part(config)
    heads = fields.whole("num_attention_heads")
    head_dim = fields.optional_whole("head_dim") or fields.whole("hidden_size") // max(1, heads)
    if family.latent:
        head_dim = fields.whole("qk_nope_head_dim") + fields.whole("qk_rope_head_dim")
    counted = count_parameters(fields, family, head_dim)
    sliding = _sliding_layers(fields, family)
    quantization = fields.section("quantization_config")
    computed = activation_dtype(fields)
    if computed is None:
        raise ConfigProblem("it does not tell the type of its weights (dtype or torch_dtype)")
    return ModelFacts(
        name=name,
        layers=fields.whole("num_hidden_layers"),
        hidden_size=fields.whole("hidden_size"),
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads"),
        head_dim=head_dim,
        attention=Attention.MLA if family.latent else Attention.GQA,
        latent_dim=fields.whole("kv_lora_rank") if family.latent else None,
        rope_dim=fields.whole("qk_rope_head_dim") if family.latent else None,
        sliding_window=fields.optional_whole("sliding_window") if sliding else None,
        sliding_layers=sliding,
        linear_layers=0,
        parameters=counted.total,
        active_parameters=counted.active,
        vocab_size=fields.whole("vocab_size"),
        max_length=_max_length(fields),
        weight_dtype=computed if quantization is None else checkpoint_dtype(quantization),
        source=source,
        kept_parameters=_kept(counted, kind),
        activation_dtype=(quantized_kv_dtype(quantization) if quantization else None) or computed,
        experts=(fields.optional_whole(family.experts) or 0) if family.experts else 0,
        experts_per_token=(fields.optional_whole("num_experts_per_tok") or 0) if family.experts else 0,
    )


def _text_part(config: Mapping[str, object]) -> tuple[Fields, Family, str]:
    """The part that generates text, with the defaults of its architecture."""
    outer = Fields(config)
    kind, nested, entries = outer.text("model_type") or "", outer.section("text_config"), config
    if nested is not None:
        if kind not in _NESTED:
            raise ConfigProblem(f"its architecture '{kind}' has parts besides the text model that are not understood")
        kind = _NESTED[kind]
        entries = {**{key: config[key] for key in _OF_THE_WHOLE if key in config}, **nested}
    if kind not in FAMILIES:
        raise ConfigProblem(f"its architecture (model_type '{kind}') is not understood here")
    return Fields(entries, {**_all_heads(kind, entries), **FAMILIES[kind].defaults}), FAMILIES[kind], kind


def _all_heads(kind: str, entries: Mapping[str, object]) -> dict[str, object]:
    """Llama's class gives each head keys and values of its own when nothing is told; others have other numbers."""
    return {"num_key_value_heads": entries.get("num_attention_heads")} if kind == "llama" else {}


def _sliding_layers(fields: Fields, family: Family) -> int:
    layers, listed = fields.whole("num_hidden_layers"), fields.words("layer_types")
    if listed is not None:
        strange = sorted(set(listed) - {"full_attention", "sliding_attention"})
        if strange or len(listed) != layers:
            raise ConfigProblem(f"its layer_types are not understood here ({', '.join(strange) or len(listed)})")
        return listed.count("sliding_attention")
    return 0 if fields.optional_whole("sliding_window") is None else _windowed(fields, family.window, layers)


def _windowed(fields: Fields, window: Window, layers: int) -> int:
    """Layers with a window of an architecture that does not list them."""
    if window is Window.ALL:
        return layers
    if window is Window.EVERY_OTHER:
        return (layers + 1) // 2
    if window is Window.ALL_BUT_NTH:
        return layers - layers // max(1, fields.whole("sliding_window_pattern"))
    used = window is Window.FROM_LAYER and fields.flag("use_sliding_window")
    return max(0, layers - fields.whole("max_window_layers")) if used else 0


def _max_length(fields: Fields) -> int | None:
    """Positions that the model was made for; YaRN stretches those that it was trained with."""
    told = fields.optional_whole("max_position_embeddings")
    scaling = Fields(fields.section("rope_scaling") or fields.section("rope_parameters") or {})
    kind = scaling.text("rope_type") or scaling.text("type")
    trained, factor = scaling.get("original_max_position_embeddings"), scaling.get("factor")
    if kind == "yarn" and isinstance(trained, int) and isinstance(factor, int | float) and told is not None:
        return max(told, int(trained * factor))
    return told


def _kept(counted: Parameters, kind: str) -> int:
    """What quantization leaves in 16 bits: the embeddings; of gpt-oss all but the experts (its model card)."""
    return counted.total - counted.experts_total if kind == "gpt_oss" else counted.embeddings
